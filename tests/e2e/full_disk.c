/* A full disk, where no file system of its own can be mounted: loaded into the server, it lets no file below the directory
   STRATA_FULL_DISK grow while a file of that name with .full behind it is there. What is there may be written over, as on a
   disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_full(int fd, size_t length, off64_t offset)
{
    const char *disk = getenv("STRATA_FULL_DISK");
    char path[4096], link[64];
    struct stat64 file;

    if (disk == NULL)
        return 0;
    snprintf(path, sizeof(path), "%s.full", disk);
    if (access(path, F_OK) != 0 || fstat64(fd, &file) != 0 || offset + (off64_t) length <= file.st_size)
        return 0;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t got = readlink(link, path, sizeof(path) - 1);
    if (got < 0)
        return 0;
    path[got] = '\0';
    return strncmp(path, disk, strlen(disk)) == 0;
}

typedef ssize_t (*write_piece)(int, const void *, size_t, off64_t);
typedef ssize_t (*write_pieces)(int, const struct iovec *, int, off64_t);

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset)
{
    write_piece next = (write_piece) dlsym(RTLD_NEXT, "pwrite64");
    if (is_full(fd, length, offset)) {
        errno = ENOSPC;
        return -1;
    }
    return next(fd, data, length, offset);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
    return pwrite64(fd, data, length, offset);
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t offset)
{
    write_pieces next = (write_pieces) dlsym(RTLD_NEXT, "pwritev64");
    size_t length = 0;
    for (int i = 0; i < count; i++)
        length += pieces[i].iov_len;
    if (is_full(fd, length, offset)) {
        errno = ENOSPC;
        return -1;
    }
    return next(fd, pieces, count, offset);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
{
    return pwritev64(fd, pieces, count, offset);
}
