/* report.c - prints what was found in a checkpoint, for people or as JSON.
 *
 * May touch: standard output. Must never know: how a file is read.
 * Tests: tests/checkpoint/run.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SHOWN_ACTORS  16u
#define FULLEST_SLOTS 5u

static const char *const type_names[RECORD_TYPES] = {
    [RECORD_STRING] = "string", [RECORD_TOMBSTONE] = "deleted"};

/* Falling sizes; of equal ones the order does not change from run to run. */
static int compare_big_keys(const void *one, const void *other) {
    const struct big_key *a = one, *b = other;
    if (report_big_key_size(a) != report_big_key_size(b))
        return report_big_key_size(a) < report_big_key_size(b) ? 1 : -1;
    if (a->database != b->database)
        return a->database < b->database ? -1 : 1;
    return memcmp(a->shown, b->shown, sizeof a->shown);
}

void report_sort(struct findings *findings) {
    if (findings->biggest_count > 1)
        qsort(findings->biggest, findings->biggest_count, sizeof *findings->biggest, compare_big_keys);
}

/* ---- The report, for people ---------------------------------------------------------------------------------------- */

static void print_bytes(const uint8_t *bytes, size_t size) {
    putchar('"');
    for (size_t i = 0; i < size; i++)
        if (bytes[i] == '"' || bytes[i] == '\\')
            printf("\\%c", bytes[i]);
        else if (bytes[i] >= ' ' && bytes[i] < 0x7f)
            putchar(bytes[i]);
        else
            printf("\\x%02x", bytes[i]);
    putchar('"');
}

static void print_node_id(const struct actor_identity *actor) {
    for (size_t i = 0; i < NODE_ID_SIZE; i++)
        printf("%02x", actor->node_id[i]);
}

/* "2026-11-21 09:30:00.123 UTC"; a time that no calendar has is a number. */
static void print_time(int64_t time_ms) {
    char text[64];
    struct tm parts;
    int64_t milliseconds = time_ms % 1000;
    time_t seconds = time_ms / 1000;
    if (milliseconds < 0) {
        milliseconds += 1000;
        seconds--;
    }
    if (gmtime_r(&seconds, &parts) == NULL || strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts) == 0)
        printf("%" PRId64 " ms since 1970", time_ms);
    else
        printf("%s.%03d UTC", text, (int)milliseconds);
}

static void print_amount(const char *name, uint64_t bytes) {
    printf("  %-16s%" PRIu64 " bytes", name, bytes);
    if (bytes >= 1024 * 1024)
        printf(" (%.1f MiB)", (double)bytes / (1024 * 1024));
    putchar('\n');
}

static void print_header(const struct findings *findings) {
    const struct checkpoint_header *header = &findings->header;
    printf("\nheader\n  format version  %u\n  node            ", header->version);
    print_node_id(&header->writer);
    printf("\n  incarnation     %" PRIu64 "\n  moment          ", header->writer.incarnation);
    print_time(header->time_ms);
    /* A hybrid logical clock: the upper 48 bits are milliseconds. */
    printf("\n  counter         %" PRIu64 " (", header->counter);
    print_time((int64_t)(header->counter >> 16));
    printf(" and %u)\n  actors          %u\n", (unsigned)(header->counter & 0xffff), header->actor_count);
    for (uint32_t i = 0; i < header->actor_count && i < SHOWN_ACTORS; i++) {
        struct actor_identity actor = checkpoint_header_actor(header, i);
        fputs("                  ", stdout);
        print_node_id(&actor);
        printf(" incarnation %" PRIu64 "\n", actor.incarnation);
    }
    if (header->actor_count > SHOWN_ACTORS)
        printf("                  and %u more\n", header->actor_count - SHOWN_ACTORS);
}

static void print_counts(const struct findings *findings) {
    uint64_t records = findings->all.keys + findings->types[RECORD_TOMBSTONE];
    printf("\nrecords           %" PRIu64 "\n  keys            %" PRIu64 "\n  with an expiry  %" PRIu64
           "\n  expired by now  %" PRIu64 "\n",
           records, findings->all.keys, findings->all.expiring, findings->all.expired);
    for (unsigned i = 0; i < RECORD_TYPES; i++)
        if (findings->types[i] != 0)
            printf("  type %-11s%" PRIu64 "\n", type_names[i], findings->types[i]);
    if (findings->counters != 0)
        printf("  counters        %" PRIu64 "\n", findings->counters);
    if (findings->with_siblings != 0)
        printf("  with siblings   %" PRIu64 "\n", findings->with_siblings);
    for (unsigned i = 0; i < DATABASE_COUNT; i++) {
        const struct key_tally *tally = &findings->databases[i];
        if (tally->keys != 0)
            printf("  database %-7u%" PRIu64 " keys, %" PRIu64 " with an expiry, %" PRIu64
                   " of these expired by now\n",
                   i, tally->keys, tally->expiring, tally->expired);
    }
}

static double mean(const struct size_tally *tally) {
    return tally->count == 0 ? 0 : (double)tally->sum / (double)tally->count;
}

static double ratio(const struct findings *findings) {
    return findings->stored_bytes == 0 ? 0 : (double)findings->seen.bytes / (double)findings->stored_bytes;
}

static void print_size_tally(const char *name, const struct size_tally *tally) {
    if (tally->count != 0)
        printf("  %-16s%" PRIu64 " bytes, each %" PRIu64 " to %" PRIu64 ", on average %.1f\n", name,
               tally->sum, tally->min, tally->max, mean(tally));
}

static void print_sizes(const struct findings *findings) {
    const struct checkpoint_footer *seen = &findings->seen;
    printf("\nsizes\n");
    print_amount("file", findings->file_bytes);
    print_amount("packed", findings->stored_bytes);
    print_amount("unpacked", seen->bytes);
    printf("  ratio           %.2f\n  blocks          %" PRIu64 "\n", ratio(findings), seen->blocks);
    print_size_tally("keys", &findings->key_sizes);
    print_size_tally("values", &findings->value_sizes);
    if (findings->all.keys == 0)
        return;
    printf("  %12s bytes  %12s  %12s\n", "up to", "keys", "values");
    for (unsigned i = 0; i < SIZE_STEPS; i++)
        if (findings->key_sizes.steps[i] != 0 || findings->value_sizes.steps[i] != 0)
            printf("  %12" PRIu64 "        %12" PRIu64 "  %12" PRIu64 "\n", SIZE_STEP(i),
                   findings->key_sizes.steps[i], findings->value_sizes.steps[i]);
}

struct slot_summary {
    uint64_t min, max;
    uint32_t used, fullest[FULLEST_SLOTS], fullest_count; /* in falling order */
};

static struct slot_summary summarise_slots(const struct findings *findings) {
    const uint64_t *slots = findings->slots;
    struct slot_summary summary = {.min = slots[0]};
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        summary.used += slots[slot] != 0;
        if (slots[slot] < summary.min)
            summary.min = slots[slot];
        if (slots[slot] > summary.max)
            summary.max = slots[slot];
        uint32_t at = summary.fullest_count;
        while (at > 0 && slots[summary.fullest[at - 1]] < slots[slot])
            at--;
        if (slots[slot] == 0 || at == FULLEST_SLOTS)
            continue;
        summary.fullest_count += summary.fullest_count < FULLEST_SLOTS;
        for (uint32_t i = summary.fullest_count - 1; i > at; i--)
            summary.fullest[i] = summary.fullest[i - 1];
        summary.fullest[at] = slot;
    }
    return summary;
}

static void print_slots(const struct findings *findings) {
    struct slot_summary summary = summarise_slots(findings);
    printf("\nslots             %u of %u have keys\n  keys of a slot  %" PRIu64 " to %" PRIu64
           ", on average %.1f\n",
           summary.used, SLOT_COUNT, summary.min, summary.max, (double)findings->all.keys / SLOT_COUNT);
    for (uint32_t i = 0; i < summary.fullest_count; i++)
        printf("  slot %-11u%" PRIu64 "\n", summary.fullest[i], findings->slots[summary.fullest[i]]);
}

static void print_biggest(const struct findings *findings) {
    if (findings->biggest_count != 0)
        printf("\nbiggest keys (bytes of key and value; database; key)\n");
    for (uint32_t i = 0; i < findings->biggest_count; i++) {
        const struct big_key *big = &findings->biggest[i];
        printf("  %12" PRIu64 "  %2u  ", report_big_key_size(big), big->database);
        print_bytes(big->shown, big->shown_size);
        if (big->shown_size < big->key_size)
            printf("... (%u bytes)", big->key_size);
        if (big->expiry_ms != RECORD_NO_EXPIRY) {
            fputs("  until ", stdout);
            print_time(big->expiry_ms);
        }
        putchar('\n');
    }
}

void report_print(const struct findings *findings) {
    const struct checkpoint_header *header = &findings->header;
    if (findings->is_valid)
        printf("%s: a valid checkpoint\n", findings->path);
    else
        printf("%s: a DAMAGED checkpoint: %s\n", findings->path, findings->problem);
    if (header->version == 0)
        return; /* its header could not be read */
    print_header(findings);
    if (!findings->is_valid)
        printf("\nWhat follows is counted of the part before the damage.\n");
    print_counts(findings);
    print_sizes(findings);
    print_slots(findings);
    print_biggest(findings);
}

/* ---- The report, for programs -------------------------------------------------------------------------------------- */

/* A byte is the code point of its number. */
static void print_json_bytes(const void *text, size_t size) {
    const uint8_t *bytes = text;
    putchar('"');
    for (size_t i = 0; i < size; i++)
        if (bytes[i] >= ' ' && bytes[i] < 0x7f && bytes[i] != '"' && bytes[i] != '\\')
            putchar(bytes[i]);
        else
            printf("\\u%04x", bytes[i]);
    putchar('"');
}

static void print_json_actor(const struct actor_identity *actor) {
    fputs("{\"node\":\"", stdout);
    print_node_id(actor);
    printf("\",\"incarnation\":%" PRIu64 "}", actor->incarnation);
}

static void print_json_header(const struct checkpoint_header *header) {
    printf(",\"version\":%u,\"serial\":%" PRIu64 ",\"time_ms\":%" PRId64 ",\"counter\":%" PRIu64
           ",\"writer\":",
           header->version, header->serial, header->time_ms, header->counter);
    print_json_actor(&header->writer);
    fputs(",\"actors\":[", stdout);
    for (uint32_t i = 0; i < header->actor_count; i++) {
        struct actor_identity actor = checkpoint_header_actor(header, i);
        fputs(i == 0 ? "" : ",", stdout);
        print_json_actor(&actor);
    }
    putchar(']');
}

static void print_json_keys(const struct key_tally *tally) {
    printf("\"keys\":%" PRIu64 ",\"with_expiry\":%" PRIu64 ",\"expired\":%" PRIu64, tally->keys,
           tally->expiring, tally->expired);
}

static void print_json_size_tally(const char *name, const struct size_tally *tally) {
    const char *comma = "";
    printf(",\"%s\":{\"bytes\":%" PRIu64 ",\"min\":%" PRIu64 ",\"mean\":%.2f,\"max\":%" PRIu64 ",\"up_to\":{",
           name, tally->sum, tally->min, mean(tally), tally->max);
    for (unsigned i = 0; i < SIZE_STEPS; i++)
        if (tally->steps[i] != 0) {
            printf("%s\"%" PRIu64 "\":%" PRIu64, comma, SIZE_STEP(i), tally->steps[i]);
            comma = ",";
        }
    fputs("}}", stdout);
}

static void print_json_counts(const struct findings *findings) {
    const char *comma = "";
    printf(",\"records\":%" PRIu64 ",", findings->all.keys + findings->types[RECORD_TOMBSTONE]);
    print_json_keys(&findings->all);
    fputs(",\"databases\":{", stdout);
    for (unsigned i = 0; i < DATABASE_COUNT; i++)
        if (findings->databases[i].keys != 0) {
            printf("%s\"%u\":{", comma, i);
            print_json_keys(&findings->databases[i]);
            putchar('}');
            comma = ",";
        }
    fputs("},\"types\":{", stdout);
    comma = "";
    for (unsigned i = 0; i < RECORD_TYPES; i++)
        if (findings->types[i] != 0) {
            printf("%s\"%s\":%" PRIu64, comma, type_names[i], findings->types[i]);
            comma = ",";
        }
    printf("},\"counters\":%" PRIu64 ",\"with_siblings\":%" PRIu64, findings->counters,
           findings->with_siblings);
}

static void print_json_slots(const struct findings *findings) {
    struct slot_summary summary = summarise_slots(findings);
    printf(",\"slots\":{\"used\":%u,\"min\":%" PRIu64 ",\"mean\":%.4f,\"max\":%" PRIu64 ",\"fullest\":[",
           summary.used, summary.min, (double)findings->all.keys / SLOT_COUNT, summary.max);
    for (uint32_t i = 0; i < summary.fullest_count; i++)
        printf("%s{\"slot\":%u,\"keys\":%" PRIu64 "}", i == 0 ? "" : ",", summary.fullest[i],
               findings->slots[summary.fullest[i]]);
    fputs("]}", stdout);
}

static void print_json_biggest(const struct findings *findings) {
    fputs(",\"biggest\":[", stdout);
    for (uint32_t i = 0; i < findings->biggest_count; i++) {
        const struct big_key *big = &findings->biggest[i];
        printf("%s{\"database\":%u,\"key_size\":%u,\"value_size\":%u,\"key\":", i == 0 ? "" : ",",
               big->database, big->key_size, big->value_size);
        print_json_bytes(big->shown, big->shown_size);
        if (big->expiry_ms != RECORD_NO_EXPIRY)
            printf(",\"expiry_ms\":%" PRId64, big->expiry_ms);
        putchar('}');
    }
    putchar(']');
}

void report_print_json(const struct findings *findings) {
    const struct checkpoint_footer *seen = &findings->seen;
    fputs("{\"file\":", stdout);
    print_json_bytes(findings->path, strlen(findings->path));
    printf(",\"valid\":%s", findings->is_valid ? "true" : "false");
    if (!findings->is_valid) {
        fputs(",\"problem\":", stdout);
        print_json_bytes(findings->problem, strlen(findings->problem));
    }
    if (findings->header.version != 0) {
        print_json_header(&findings->header);
        print_json_counts(findings);
        printf(",\"file_bytes\":%" PRIu64 ",\"packed_bytes\":%" PRIu64 ",\"unpacked_bytes\":%" PRIu64
               ",\"ratio\":%.4f,\"blocks\":%" PRIu64,
               findings->file_bytes, findings->stored_bytes, seen->bytes, ratio(findings), seen->blocks);
        print_json_size_tally("key_sizes", &findings->key_sizes);
        print_json_size_tally("value_sizes", &findings->value_sizes);
        print_json_slots(findings);
        print_json_biggest(findings);
    }
    puts("}");
}
