# SPDX-License-Identifier: Apache-2.0
# e2e/test_tokens.py – which tokens may still be used, and ending one before it is used up.

import json

import pytest

from albtest.site import Site

REFUSED = 3


@pytest.fixture
def site(tmp_path):
    with Site(tmp_path, endpoints=1) as site:
        site.start_hub()
        site.admin.albedo("trust", "init")
        yield site


def listed(site):
    return {t["token"]: t for t in site.admin.albedo("token", "list").document()["tokens"]}


def test_a_withdrawn_token_is_refused_by_name_and_listed_no_more(site):
    token = site.token("endpoint", "--site", "lyon", "--uses", "3", "--layers", "base")
    ident = token.split(".")[1]
    first, second = site.new_member("first"), site.new_member("second")
    site.join(first, token)
    assert listed(site)[ident]["uses"] == 2
    assert listed(site)[ident]["site"] == "lyon"
    assert ident in site.admin.albedo("token", "list", plain=True).out
    site.admin.albedo("token", "revoke", ident)
    assert ident not in listed(site)
    done = site.join(second, token, code=REFUSED)
    assert "cannot be used any more: an administrator withdrew it" in done.out + done.err
    site.admin.albedo("token", "revoke", token)  # again, and by the whole of it: as it was
    assert first.albedo("status").code == 0  # who joined before stays
    assert token.split(".")[2] not in site.hub.log.read_text()


def test_revoking_a_device_ends_the_token_it_joined_with(site):
    token = site.token("endpoint", "--site", "lyon", "--uses", "40")
    thief, other = site.new_member("thief"), site.new_member("other")
    site.join(thief, token)
    device = json.loads((thief.state / "identity.json").read_text())["device"]
    site.admin.albedo("revoke", device)
    done = thief.albedo("join", "--hub", site.hub.url, "--token", token, "--force",
                        "--name", "somebody-else", code=REFUSED)
    assert f"{device}, which joined with it, was revoked" in done.out + done.err
    site.join(other, token, code=REFUSED)
    site.join(other, site.token("endpoint", "--site", "lyon"))


def test_a_token_that_does_not_exist_is_named_and_only_admins_may_ask(site):
    done = site.admin.albedo("token", "revoke", "nonesuch", code=None)
    assert done.code != 0 and "albedo token list" in done.out + done.err
    done = site.admin.albedo("token", "revoke", "../x", code=None)
    assert done.code == 2, done
    endpoint = site.endpoints[0]
    site.join(endpoint, site.token("endpoint", "--site", "lyon"))
    for words in (("token", "list"), ("token", "revoke", "abc")):
        done = endpoint.albedo(*words, code=REFUSED)
        assert "role" in done.out + done.err
