/* A fake agent for the tests of the launcher. Macros set its behaviour at compile time. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION "0"
#endif
#ifndef SIGNAL
#define SIGNAL 0
#endif

int main(int count, char **arguments)
{
    char bytes[4096];
    ssize_t length;

    if (count != 2 || strcmp(arguments[1], "agent") != 0)
        return 64;
    if (SIGNAL)
        raise(SIGNAL);
#ifdef CODE
    fputs("first\nthe reason\n\n", stderr);
    return CODE;
#endif
#ifdef SILENT
    pause();
#endif
    printf("\ndbgraft agent " VERSION "\nhello ");
    fflush(stdout);
    while ((length = read(0, bytes, sizeof bytes)) > 0)
        if (write(1, bytes, length) < 0)
            return 1;
    return 0;
}
