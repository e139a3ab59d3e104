# SPDX-License-Identifier: Apache-2.0
# albtest/nginx.py – somebody else's web server, set up in a folder of its own.
#
#     argv = nginx_set_up(folder, "127.0.0.1:8080 http2", root=folder / "files")
#     …start argv, and wait until nginx_is_up(folder)
import os

PROGRAM = "/usr/sbin/nginx"  # not in everybody's PATH
TEXT = """{user}daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; keepalive_requests 100000000; send_timeout 60s;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  {http}
  server {{ listen {listen}; root {root}; {server} }}
}}
"""


def nginx_set_up(folder, listen, root=None, http="", server=""):
    """Write nginx.conf into `folder`, which is served if no root is given; `http` and `server` are
    directives more. Return the command to start; it stays in the foreground."""
    user = "user root; " if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(TEXT.format(
        user=user, folder=folder, listen=listen, root=root or folder, http=http, server=server))
    return [PROGRAM, "-c", folder / "nginx.conf", "-e", folder / "error.log"]


def nginx_is_up(folder):
    return (folder / "pid").exists()
