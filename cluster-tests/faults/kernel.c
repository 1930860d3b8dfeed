/* Two requests to the kernel that safe Rust cannot make.
 *
 *   kernel tun NAME        attaches a TUN device to this network namespace, says `tun FD`, and keeps both until it is killed
 *   kernel shutdown PATH   ends the file system at PATH as a power cut does: what is not in its journal is gone
 *
 * The wire copies the descriptor FD out of this process (pidfd_getfd). A network namespace lives as long as its last process.
 */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are one number; 2 lets the journal go unwritten. */
#define SHUTDOWN _IOR('X', 125, unsigned int)
#define NOLOGFLUSH 2

static int tun(const char *name) {
    int fd = open("/dev/net/tun", O_RDWR);
    if (fd < 0) {
        perror("/dev/net/tun");
        return 1;
    }
    struct ifreq request;
    memset(&request, 0, sizeof request);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(fd, TUNSETIFF, &request)) {
        perror("TUNSETIFF");
        return 1;
    }
    printf("tun %d\n", fd);
    fflush(stdout);
    for (;;) pause();
}

static int power(const char *path) {
    unsigned int how = NOLOGFLUSH;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || ioctl(fd, SHUTDOWN, &how)) {
        perror(path);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "tun")) return tun(argv[2]);
    if (argc == 3 && !strcmp(argv[1], "shutdown")) return power(argv[2]);
    fprintf(stderr, "kernel tun NAME | kernel shutdown PATH\n");
    return 2;
}
