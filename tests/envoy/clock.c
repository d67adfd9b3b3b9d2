/* Preloaded into an Envoy, makes an hour of a second on its wall clock; timers keep theirs. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
  static time_t start;
  int status = (int)syscall(SYS_clock_gettime, clock, now);
  if (status == 0 && clock == CLOCK_REALTIME) {
    if (start == 0) start = now->tv_sec;
    now->tv_sec += (now->tv_sec - start) * 3600;
  }
  return status;
}
