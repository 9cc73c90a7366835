/* sightings.h - rare things that a batch of runs must have seen, or it has not tested what it says.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_SIGHTINGS_H
#define SIM_SIGHTINGS_H

#include <stdint.h>

#define SIGHTINGS(X)                                                              \
    X(STALE_TRANSACTION, "EXEC refused, for a watched key had changed")           \
    X(TRANSACTION, "EXEC that ran several commands")                              \
    X(BROKEN_TRANSACTION, "EXEC refused, for a command could not be queued")      \
    X(CUT_TRANSACTION, "EXEC of a command that closes its own connection")        \
    X(SCAN_TO_THE_END, "a SCAN of several calls that came to its end")            \
    X(NO_MEMORY_ANSWER, "a command answered that there is no memory")             \
    X(NO_MEMORY_CLOSE, "a connection closed for lack of memory")                  \
    X(MEMORY_LIMIT, "a command refused because of maxmemory")                     \
    X(HELD_BACK, "a request held back by CLIENT PAUSE, or by output that waits")  \
    X(GHOST_ALIVE, "an expired key alive again after the clock was set back")     \
    X(EXPIRED, "keys reclaimed by the background job")                            \
    X(LONG_EXPIRY, "a background job with more expired keys than one step takes") \
    X(LONG_RECLAIM, "a flushed database that took several steps")                 \
    X(SPLIT_SLOT, "a slot with so many keys that it has leaves")                  \
    X(CUT_IN_REQUEST, "a connection that ended in the middle of a request")       \
    X(CUT_IN_REPLY, "a connection that ended in the middle of a reply")           \
    X(MALFORMED, "bytes that are no request")                                     \
    X(EARLY_ERROR, "bytes found wrong before all of them had come")               \
    X(NOT_AUTHENTICATED, "a command refused for want of a password")              \
    X(REFUSED_CLIENT, "a connection that was not welcome")                        \
    X(IDLE_CLIENT, "a connection closed because it was idle")                     \
    X(KILLED_CLIENT, "a connection closed by CLIENT KILL")                        \
    X(SILENT_COMMAND, "a command whose reply was not asked for")                  \
    X(MONITOR_LINE, "a line for MONITOR")                                         \
    X(PARTIAL_WRITE, "output that the connection did not take at once")           \
    X(SAVED, "a checkpoint that was completed, and held the image")               \
    X(SAVED_MEANWHILE, "one with records given out because of writers")           \
    X(SAVED_LONG, "one with a long record")                                       \
    X(SAVE_ANSWERED, "SAVE answered behind its save")                             \
    X(SAVE_FAILED, "a save that failed because of the disk")                      \
    X(SAVE_WITHOUT_MEMORY, "a save that found no memory")                         \
    X(SAVE_GIVEN_UP, "a save given up because of the server's end")               \
    X(NOT_SAVED, "a write refused because saving does not work")                  \
    X(LOADING, "a command refused because keys are loaded")                       \
    X(STOPPED, "a process that was asked to end, saved and ended")                \
    X(STOP_FAILED, "a process that did not end, for it could not save")           \
    X(SHUTDOWN, "a process that a client has ended")                              \
    X(KILLED, "a process killed, and the next one")                               \
    X(POWER_CUT, "lost power, and the next process")                              \
    X(POWER_IN_SAVE, "lost power in the middle of a save")                        \
    X(LOADED, "keys loaded from a checkpoint")                                    \
    X(LOADED_UNREPORTED, "a checkpoint loaded that was never reported complete")

enum sighting {
#define X(name, words) SIGHTING_##name,
    SIGHTINGS(X)
#undef X
        SIGHTING_COUNT
};

struct sightings {
    uint64_t seen[SIGHTING_COUNT];
};

#endif
