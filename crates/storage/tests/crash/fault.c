/* Makes one write or sync of a chosen file fail, as a dying disk would. Loaded before libc (LD_PRELOAD).
 *
 * While the file named by STRONGROOM_FAULT exists, it says which call fails ("sync" or "write") and how the name of the
 * file ends on which it fails. It is removed by the failure: Linux reports a lost write once, and the next sync succeeds
 * without having written it. That the failure happened is noted in a second file. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fails(int fd, const char *call) {
    const char *trigger = getenv("STRONGROOM_FAULT");
    char told[64] = {0}, wanted[16] = {0}, ending[32] = {0}, link[64], name[4096] = {0}, note[4096];
    int file = trigger ? open(trigger, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    ssize_t length = read(file, told, sizeof told - 1);
    close(file);
    if (length <= 0 || sscanf(told, "%15s %31s", wanted, ending) != 2 || strcmp(wanted, call) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, name, sizeof name - 1);
    if (length < (ssize_t)strlen(ending) || strcmp(name + length - strlen(ending), ending) != 0) return 0;
    unlink(trigger);
    snprintf(note, sizeof note, "%s.happened", trigger);
    close(open(note, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    errno = EIO;
    return 1;
}

int fsync(int fd) { return fails(fd, "sync") ? -1 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return fails(fd, "sync") ? -1 : (int)syscall(SYS_fdatasync, fd); }
ssize_t write(int fd, const void *bytes, size_t size) {
    return fails(fd, "write") ? -1 : syscall(SYS_write, fd, bytes, size);
}
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
    return fails(fd, "write") ? -1 : syscall(SYS_pwrite64, fd, bytes, size, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
    return fails(fd, "write") ? -1 : syscall(SYS_pwrite64, fd, bytes, size, at);
}
