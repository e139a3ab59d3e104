/* SPDX-License-Identifier: Apache-2.0 */
/* emu/tun.c – TUN interfaces by setns and ioctl. */
#include "emu/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "emu/packet_pool.h"

#define TUN_QUEUE_PACKETS 10000

static bool ns_enter(const char *ns, struct emu_error *err);
static bool device_open(const char *ifname, struct emu_error *err, int *fd);
static bool interface_set_up(const struct emu_side *side, struct emu_error *err);

/* Everything that happens inside the namespace. */
static bool open_inside(const struct emu_side *side, struct emu_error *err, struct tun *tun)
{
    if (!ns_enter(side->ns, err) || !device_open(side->ifname, err, &tun->fd) ||
        !interface_set_up(side, err))
        return false;
    /* The file shows the namespace it was opened in. */
    tun->count_fd = open("/proc/thread-self/net/dev", O_RDONLY | O_CLOEXEC);
    if (tun->count_fd < 0)
        return emu_fail(err, "cannot open /proc/thread-self/net/dev (%s); mount /proc",
                        strerrordesc_np(errno));
    memcpy(tun->ifname, side->ifname, sizeof tun->ifname);
    return true;
}

bool tun_open(const struct emu_side *side, struct emu_error *err, struct tun *tun)
{
    struct tun made = {.fd = -1, .count_fd = -1};
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home < 0)
        return emu_fail(err, "cannot open /proc/self/ns/net (%s); mount /proc",
                        strerrordesc_np(errno));
    bool ok = open_inside(side, err, &made);
    if (setns(home, CLONE_NEWNET) != 0 && ok)
        ok = emu_fail(err, "cannot return from namespace %.60s (%s); run as root", side->ns,
                      strerrordesc_np(errno));
    close(home);
    if (ok)
        *tun = made;
    else
        tun_close(&made);
    return ok;
}

void tun_close(struct tun *tun)
{
    if (tun->fd >= 0)
        close(tun->fd);
    if (tun->count_fd >= 0)
        close(tun->count_fd);
    tun->fd = tun->count_fd = -1;
}

/* The line of an interface: eight numbers of what it received, then what it sent: bytes, packets,
 * errors, drops. */
uint64_t tun_unseen(const struct tun *tun)
{
    char text[8192];
    uint64_t dropped = 0;
    ssize_t length = pread(tun->count_fd, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        char name[IFNAMSIZ];
        /* NOLINTNEXTLINE(cert-err34-c): the kernel's own digits */
        if (sscanf(line, " %15[^:]: %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64, name,
                   &dropped) == 2 &&
            strcmp(name, tun->ifname) == 0)
            return dropped;
    }
    return 0;
}

static bool ns_enter(const char *ns, struct emu_error *err)
{
    char path[300];
    if (snprintf(path, sizeof path, "/run/netns/%s", ns) >= (int)sizeof path)
        return emu_fail(err, "the namespace's name '%.40s…' is too long", ns);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return emu_fail(err, "no namespace '%.60s' (%s: %s); make it with `ip netns add %.60s`", ns,
                        path, strerrordesc_np(errno), ns);
    int result = setns(fd, CLONE_NEWNET);
    int reason = errno;
    close(fd);
    if (result != 0)
        return emu_fail(err, "cannot enter namespace '%.60s' (%s); %s", ns, strerrordesc_np(reason),
                        reason == EPERM ? "run as root with CAP_SYS_ADMIN"
                                        : "make it with `ip netns add`");
    return true;
}

static const char *device_advice(int reason)
{
    switch (reason) {
    case ENOENT:
        return "make it with `mkdir -p /dev/net && mknod /dev/net/tun c 10 200`, "
               "or start the container with --device /dev/net/tun";
    case ENODEV:
    case ENXIO: return "load the driver with `modprobe tun`";
    case EPERM:
    case EACCES:
        return "run as root with CAP_NET_ADMIN; a container also needs --device /dev/net/tun";
    case EBUSY: return "the name is in use in that namespace; give another with --if-a or --if-b";
    }
    return "see `dmesg`";
}

static bool device_open(const char *ifname, struct emu_error *err, int *fd)
{
    int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (device < 0)
        return emu_fail(err, "cannot open /dev/net/tun (%s); %s", strerrordesc_np(errno),
                        device_advice(errno));
    struct ifreq req = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    memcpy(req.ifr_name, ifname, IFNAMSIZ);
    if (ioctl(device, TUNSETIFF, &req) != 0) {
        int reason = errno;
        close(device);
        return emu_fail(err, "cannot make interface %.15s (%s); %s", ifname,
                        strerrordesc_np(reason), device_advice(reason));
    }
    *fd = device;
    return true;
}

static void ipv6_turn_off(const char *ifname)
{
    char path[100];
    if (snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", ifname) >=
        (int)sizeof path)
        return;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return; /* a kernel without IPv6: nothing to turn off */
    if (write(fd, "1", 1) != 1)
        (void)fprintf(stderr, "event=linkemu.ipv6_on if=%s effect=\"a few stray packets\"\n",
                      ifname);
    close(fd);
}

static struct sockaddr_in inet_of(struct in_addr addr)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = addr};
}

static bool requests_make(int sock, const struct emu_side *side)
{
    struct in_addr mask = {htonl(side->prefix == 0 ? 0 : UINT32_MAX << (32 - side->prefix))};
    struct sockaddr_in addr = inet_of(side->addr);
    struct sockaddr_in netmask = inet_of(mask);
    struct ifreq req = {0};
    memcpy(req.ifr_name, side->ifname, IFNAMSIZ);

    req.ifr_mtu = (int)PACKET_MTU;
    if (ioctl(sock, SIOCSIFMTU, &req) != 0)
        return false;
    req.ifr_qlen = TUN_QUEUE_PACKETS;
    if (ioctl(sock, SIOCSIFTXQLEN, &req) != 0)
        return false;
    memcpy(&req.ifr_addr, &addr, sizeof addr);
    if (ioctl(sock, SIOCSIFADDR, &req) != 0)
        return false;
    memcpy(&req.ifr_netmask, &netmask, sizeof netmask);
    if (ioctl(sock, SIOCSIFNETMASK, &req) != 0)
        return false;
    req.ifr_flags = IFF_UP | IFF_RUNNING | IFF_POINTOPOINT | IFF_NOARP;
    return ioctl(sock, SIOCSIFFLAGS, &req) == 0;
}

static bool interface_set_up(const struct emu_side *side, struct emu_error *err)
{
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ipv6_turn_off(side->ifname);
    bool ok = sock >= 0 && requests_make(sock, side);
    int reason = errno;
    if (sock >= 0)
        close(sock);
    if (!ok)
        return emu_fail(err,
                        "cannot set up interface %.15s in namespace %.60s (%s); run as root "
                        "with CAP_NET_ADMIN and check that the address is free",
                        side->ifname, side->ns, strerrordesc_np(reason));
    return true;
}
