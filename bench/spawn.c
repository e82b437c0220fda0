/* The yardstick: start N processes, K at a time, and wait for each. Nothing is logged or remembered. */
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv) {
    int wanted = atoi(argv[1]), at_once = atoi(argv[2]), started = 0, ended = 0;
    char *command[] = {"/bin/true", NULL};
    (void)argc;
    while (ended < wanted) {
        while (started < wanted && started - ended < at_once) {
            pid_t pid;
            if (posix_spawn(&pid, command[0], NULL, NULL, command, environ))
                return 1;
            started++;
        }
        if (waitpid(-1, NULL, 0) > 0)
            ended++;
    }
    return 0;
}
