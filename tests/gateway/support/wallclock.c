/* Sets the wall clock of one process: what CLOCK_REALTIME says is moved by the seconds that stand in a file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, time);
  const char *path = getenv("WALL_CLOCK_STEP");
  FILE *file = clock == CLOCK_REALTIME && path ? fopen(path, "r") : NULL;
  long step = 0;
  if (file) {
    if (fscanf(file, "%ld", &step) == 1) time->tv_sec += step;
    fclose(file);
  }
  return result;
}
