/* A disk with faults: runs a program whose writes and syncs of files a control file governs while it runs.
 *
 *   faults CONTROL PROGRAM ARGS...
 *
 * The kernel shows each of these calls to a supervisor before it happens (seccomp user notification), so it does not
 * matter how the program makes them, and no privilege is needed. Lines of CONTROL, empty for none:
 *
 *   write  every pwrite and pwritev          |   error N    fails with errno N
 *   grow   those that need new blocks        |   delay MS   happens so much later
 *   sync   fsync and fdatasync               |   hold       does not return until the line is gone
 *
 * The program is this very process; the supervisor ends with it. Exit code 77: this kernel does not let us.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CALLS 6
#define PENDING 256
static const int calls[CALLS] = {SYS_pwrite64, SYS_pwritev, SYS_pwritev2, SYS_fsync, SYS_fdatasync, SYS_fallocate};

struct rule {
    int error;
    long delay;
    int hold;
};
struct pending {
    struct seccomp_notif req;
    long long came;
};

static long long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* What the control file says of a kind of call. */
static int rule_of(int control, const char *kind, struct rule *out) {
    char text[512] = {0};
    ssize_t n = pread(control, text, sizeof text - 1, 0);
    if (n <= 0) return 0;
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        char k[16], what[16];
        long arg = 0;
        if (sscanf(line, "%15s %15s %ld", k, what, &arg) < 2 || strcmp(k, kind)) continue;
        memset(out, 0, sizeof *out);
        if (!strcmp(what, "error")) out->error = (int)arg;
        else if (!strcmp(what, "delay")) out->delay = arg;
        else if (!strcmp(what, "hold")) out->hold = 1;
        return 1;
    }
    return 0;
}

/* Whether a write at this position needs blocks that the file does not have yet. */
static int grows(const struct seccomp_notif *req) {
    char path[64];
    long long at = (long long)req->data.args[req->data.nr == SYS_fallocate ? 2 : 3];
    snprintf(path, sizeof path, "/proc/%u/fd/%d", req->pid, (int)req->data.args[0]);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    struct stat st;
    int grows = fstat(fd, &st) == 0 && (at >= st.st_size || lseek(fd, at, SEEK_HOLE) == at);
    close(fd);
    return grows;
}

/* Answers a call, or says that it is to wait. */
static int answer(int listener, int control, struct pending *p) {
    int nr = p->req.data.nr, sync = nr == SYS_fsync || nr == SYS_fdatasync;
    struct rule rule = {0};
    if (sync) rule_of(control, "sync", &rule);
    else if (nr == SYS_fallocate) rule_of(control, "grow", &rule);
    else if (!rule_of(control, "write", &rule) && rule_of(control, "grow", &rule) && !grows(&p->req))
        memset(&rule, 0, sizeof rule);
    if (rule.hold || now_ms() < p->came + rule.delay) return 0;
    struct seccomp_notif_resp resp = {.id = p->req.id};
    if (rule.error) resp.error = -rule.error;
    else resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp); /* it may be gone: nobody waits then */
    return 1;
}

static void supervise(int listener, int control) {
    static struct pending waiting[PENDING];
    int count = 0;
    for (;;) {
        struct pollfd p = {.fd = listener, .events = POLLIN};
        if (poll(&p, 1, count ? 2 : -1) < 0 && errno != EINTR) _exit(1);
        if (p.revents & POLLIN && count < PENDING) {
            struct pending *next = &waiting[count];
            memset(next, 0, sizeof *next);
            if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &next->req) == 0) {
                next->came = now_ms();
                count++;
            }
        } else if (p.revents & (POLLHUP | POLLERR)) {
            _exit(0);
        }
        for (int i = 0; i < count;) {
            if (answer(listener, control, &waiting[i])) waiting[i] = waiting[--count];
            else i++;
        }
    }
}

static int install(void) {
    struct sock_filter code[CALLS + 3];
    int n = 0;
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < CALLS; i++)
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], (unsigned char)(CALLS - i), 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    struct sock_fprog prog = {.len = (unsigned short)n, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
}

/* One file descriptor over a socket. */
static int pass(int socket, int fd, int receive) {
    char byte = 0, room[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    if (receive) {
        if (recvmsg(socket, &m, MSG_CMSG_CLOEXEC) <= 0 || !CMSG_FIRSTHDR(&m)) return -1;
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
        return fd;
    }
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    return sendmsg(socket, &m, 0) == 1 ? 0 : -1;
}

int main(int argc, char **argv) {
    int pair[2], control;
    if (argc < 3 || (control = open(argv[1], O_RDONLY | O_CLOEXEC)) < 0) {
        fprintf(stderr, "faults CONTROL PROGRAM ARGS...\n");
        return 2;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) return 2;
    pid_t child = fork();
    if (child == 0) {
        /* Nobody's child: the program never hears of its end. */
        if (fork()) _exit(0);
        close(pair[0]);
        close(0);
        close(1);
        close(2);
        int listener = pass(pair[1], -1, 1);
        if (listener < 0) _exit(1);
        supervise(listener, control);
    }
    waitpid(child, NULL, 0);
    close(pair[1]);
    int listener = install();
    if (listener < 0) {
        fprintf(stderr, "faults: seccomp notifications are not allowed here: %s\n", strerror(errno));
        return 77;
    }
    if (pass(pair[0], listener, 0)) return 2;
    close(listener);
    close(pair[0]);
    execvp(argv[2], argv + 2);
    fprintf(stderr, "faults: %s: %s\n", argv[2], strerror(errno));
    return 127;
}
