#include "sim/allocations.h"
void allocations_fail(const char *word, struct allocation_tally *tally) {
    (void)word;
    (void)tally;
}
