/* network.c - calls, wires and parcels of frames as events of the world.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/network.h"

#include "sim/ring/station.h"

#include <stdio.h>
#include <stdlib.h>

#define FRAME_MAX       ((size_t)256 << 20)
#define CALL_TIMEOUT_NS UINT64_C(3000000000)
#define COMPACT_SIZE    65536
/* What is not acknowledged for so long ends a connection: as the server asks it of the system (TCP_USER_TIMEOUT). */
#define GIVE_UP_NS    UINT64_C(10000000000)
#define GIVE_UP_AT_NS UINT64_C(1000000000) /* it is looked for so often */

/* Frames that arrive together; without bytes: the end of the connection. */
struct parcel {
    struct parcel *next, *previous;
    struct wire_end *to;
    bool is_end;
    struct buffer bytes;
};

static void give_up(void *context);

void network_init(struct network *network, struct world *world, const struct conditions *conditions,
                  struct station *stations) {
    *network = (struct network){.world = world, .conditions = conditions, .stations = stations};
    world_at(world, world->now_ns + GIVE_UP_AT_NS, give_up, network);
}

static void free_parcel(struct network *network, struct parcel *parcel) {
    if (parcel->next != NULL)
        parcel->next->previous = parcel->previous;
    if (parcel->previous != NULL)
        parcel->previous->next = parcel->next;
    else
        network->parcels = parcel->next;
    buffer_release(&parcel->bytes);
    world_free(network->world, parcel, sizeof *parcel);
}

static void release_end(struct wire_end *end) {
    if (end->cutter != NULL)
        peer_frame_reader_free(end->cutter);
    end->cutter = NULL;
    buffer_release(&end->inbox);
}

static void free_wires(struct network *network, struct wire *wires) {
    while (wires != NULL) {
        struct wire *wire = wires;
        wires = wire->next;
        release_end(&wire->ends[0]);
        release_end(&wire->ends[1]);
        if (wire->stream != NULL)
            stream_free(wire->stream);
        world_free(network->world, wire, sizeof *wire);
    }
}

void network_release(struct network *network) {
    while (network->parcels != NULL)
        free_parcel(network, network->parcels);
    while (network->dials != NULL) {
        struct dial *dial = network->dials;
        network->dials = dial->next;
        world_free(network->world, dial, sizeof *dial);
    }
    free_wires(network, network->wires);
    free_wires(network, network->over);
}

static struct rng *dice(const struct network *network) {
    return world_random(network->world, CHANCE_NETWORK);
}

static uint64_t some_delay(const struct network *network) {
    const struct network_faults *faults = &network->conditions->network;
    return chance_between(dice(network), faults->delay_min_ns, faults->delay_max_ns);
}

static bool is_cut(const struct wire_end *from) {
    const struct station *a = from->station, *b = wire_other((struct wire_end *)from)->station;
    return a->network->is_cut[a->number][b->number];
}

/* ---- Names and calls ---- */

uint32_t network_find(const struct network *network, const char *host) {
    const char *digits = strncmp(host, STATION_NAME, strlen(STATION_NAME)) == 0 ? host + strlen(STATION_NAME)
                         : strncmp(host, STATION_ADDRESS, strlen(STATION_ADDRESS)) == 0
                             ? host + strlen(STATION_ADDRESS)
                             : "";
    char *end;
    unsigned long number = strtoul(digits, &end, 10);
    return *digits == '\0' || *end != '\0' || number >= network->station_count ? STATIONS_MAX
                                                                               : (uint32_t)number;
}

static void add_dial(struct network *network, struct dial *dial) {
    dial->next = network->dials;
    dial->previous = NULL;
    if (dial->next != NULL)
        dial->next->previous = dial;
    network->dials = dial;
}

static void take_dial(struct network *network, struct dial *dial) {
    if (dial->next != NULL)
        dial->next->previous = dial->previous;
    if (dial->previous != NULL)
        dial->previous->next = dial->next;
    else
        network->dials = dial->next;
    dial->next = dial->previous = NULL;
}

static void dial_ends(void *context) {
    struct dial *dial = context;
    take_dial(dial->network, dial);
    station_dial_ended(dial->from, dial);
}

static void stream_is_ready(void *context) {
    station_wire_ready(context);
}

static void open_end(struct wire *wire, unsigned which, struct station *station) {
    struct network *network = wire->network;
    struct wire_end *end = &wire->ends[which];
    *end = (struct wire_end){
        .wire = wire, .station = station, .process = station->process, .is_caller = which == 0};
    buffer_init(&end->inbox, &network->world->mem);
    if (wire->stream != NULL) {
        wire->stream->ends[which].context = end;
        wire->stream->ends[which].ready = stream_is_ready;
    } else {
        end->cutter = peer_frame_reader_new(&network->world->mem, FRAME_MAX);
        CHECK(end->cutter != NULL);
    }
}

static struct wire *open_wire(struct network *network, struct dial *dial) {
    struct wire *wire = world_alloc(network->world, sizeof *wire);
    wire->network = network;
    wire->next = network->wires;
    network->wires = wire;
    network->statistics.wires++;
    if (!network->conditions->is_framed)
        wire->stream = stream_open(network->world, &network->conditions->network);
    open_end(wire, 0, dial->from);
    wire->ends[0].process = dial->process;
    wire->ends[0].call_id = dial->id;
    open_end(wire, 1, &network->stations[dial->to]);
    station_wire_ready(&wire->ends[1]);
    return wire;
}

static void fail_dial(struct dial *dial, enum node_call_failure failure, uint64_t after_ns) {
    dial->failure = failure;
    world_at(dial->network->world, dial->network->world->now_ns + after_ns, dial_ends, dial);
}

/* The call reaches whom it is for. */
static void dial_arrives(void *context) {
    struct dial *dial = context;
    struct network *network = dial->network;
    struct station *to = &network->stations[dial->to];
    if (network->is_cut[dial->from->number][dial->to] || network->is_cut[dial->to][dial->from->number] ||
        to->is_off) {
        fail_dial(dial, NODE_CALL_UNREACHABLE, CALL_TIMEOUT_NS);
        return;
    }
    if (to->node == NULL) {
        fail_dial(dial, NODE_CALL_REFUSED, some_delay(network));
        return;
    }
    dial->wire = open_wire(network, dial);
    world_at(network->world, network->world->now_ns + some_delay(network), dial_ends, dial);
}

void network_call(struct network *network, struct station *from, const struct node_call *wish) {
    struct dial *dial = world_alloc(network->world, sizeof *dial);
    *dial = (struct dial){.network = network, .from = from, .process = from->process, .id = wish->id};
    dial->to = network_find(network, wish->host);
    add_dial(network, dial);
    network->statistics.calls++;
    if (dial->to == STATIONS_MAX || wish->port != STATION_PEER_PORT)
        fail_dial(dial, dial->to == STATIONS_MAX ? NODE_CALL_UNREACHABLE : NODE_CALL_REFUSED,
                  some_delay(network));
    else
        world_at(network->world, network->world->now_ns + some_delay(network), dial_arrives, dial);
}

/* ---- Paths ---- */

static void reset_wire(struct wire *wire) {
    if (wire->ends[0].is_gone && wire->ends[1].is_gone)
        return;
    if (wire->stream != NULL) {
        if (!wire->stream->is_reset)
            stream_reset(wire->stream);
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        buffer_clear(&wire->ends[i].inbox);
        wire->ends[i].inbox_taken = 0;
        wire->ends[i].is_over = true;
        station_wire_ready(&wire->ends[i]);
    }
}

static void break_wire(struct wire *wire) {
    wire->is_silent = false;
    if (wire->stream != NULL)
        wire->stream->is_silent = false;
    reset_wire(wire);
}

/* Closed by one end, and the other one has not heard of it. */
static bool is_half_gone(const struct wire *wire) {
    return wire->is_silent && wire->ends[0].is_gone != wire->ends[1].is_gone &&
           !wire->ends[0].station->is_off && !wire->ends[1].station->is_off;
}

static bool is_between(const struct wire *wire, uint32_t one, uint32_t other) {
    uint32_t a = wire->ends[0].station->number, b = wire->ends[1].station->number;
    return (a == one && b == other) || (a == other && b == one);
}

static void time_out(struct wire *wire) {
    wire->has_timed_out = true;
    break_wire(wire);
}

/* Nobody is at its ends any more, and nothing is on its way, or held back where the network is cut. */
static bool is_over(const struct wire *wire) {
    const struct stream *stream = wire->stream;
    return wire->ends[0].is_gone && wire->ends[1].is_gone &&
           (stream == NULL || stream->is_reset || (stream->pipes[0].is_over && stream->pipes[1].is_over));
}

/* There are more and more of those that are over in a long run: they are not looked at again and again. */
static void put_over_aside(struct network *network) {
    for (struct wire **at = &network->wires; *at != NULL;) {
        struct wire *wire = *at;
        if (!is_over(wire)) {
            at = &wire->next;
            continue;
        }
        *at = wire->next;
        wire->next = network->over;
        network->over = wire;
    }
}

/* What is said over a connection that is silent, or over a path that is cut, is not acknowledged; both directions need both paths. */
static void give_up(void *context) {
    struct network *network = context;
    uint64_t now_ns = network->world->now_ns;
    put_over_aside(network);
    for (struct wire *wire = network->wires; wire != NULL; wire = wire->next) {
        if (wire->has_timed_out || (wire->ends[0].is_gone && wire->ends[1].is_gone))
            continue;
        uint32_t a = wire->ends[0].station->number, b = wire->ends[1].station->number;
        if (!wire->is_silent && (wire->stream == NULL || !wire->stream->is_silent))
            wire->silent_ns = 0;
        else if (wire->silent_ns == 0)
            wire->silent_ns = now_ns;
        if ((wire->silent_ns != 0 && now_ns - wire->silent_ns > GIVE_UP_NS) ||
            (network->is_cut[a][b] && now_ns - network->cut_ns[a][b] > GIVE_UP_NS) ||
            (network->is_cut[b][a] && now_ns - network->cut_ns[b][a] > GIVE_UP_NS))
            time_out(wire);
    }
    world_at(network->world, now_ns + GIVE_UP_AT_NS, give_up, network);
}

void network_cut(struct network *network, uint32_t from, uint32_t to, bool is_cut_now, bool resets) {
    if (from == to || network->is_cut[from][to] == is_cut_now)
        return;
    network->is_cut[from][to] = is_cut_now;
    network->cut_ns[from][to] = network->world->now_ns;
    world_note(network->world, "the path from %u to %u is %s%s", from, to, is_cut_now ? "cut" : "mended",
               resets ? ", with resets" : "");
    for (struct wire *wire = network->wires; wire != NULL; wire = wire->next) {
        if (!is_between(wire, from, to))
            continue;
        if (resets || (!is_cut_now && is_half_gone(wire)))
            break_wire(wire);
        else if (wire->stream != NULL && !wire->stream->is_reset)
            stream_block(&wire->stream->ends[wire->ends[0].station->number == from ? 0 : 1], is_cut_now);
    }
}

void network_mend_all(struct network *network) {
    for (uint32_t from = 0; from < network->station_count; from++)
        for (uint32_t to = 0; to < network->station_count; to++)
            network_cut(network, from, to, false, false);
}

void network_break_some_wire(struct network *network) {
    uint32_t count = 0;
    for (struct wire *wire = network->wires; wire != NULL; wire = wire->next)
        count += !wire->ends[0].is_gone && !wire->ends[1].is_gone;
    if (count == 0)
        return;
    uint64_t chosen = rng_below(dice(network), count);
    for (struct wire *wire = network->wires; wire != NULL; wire = wire->next)
        if (!wire->ends[0].is_gone && !wire->ends[1].is_gone && chosen-- == 0) {
            world_note(network->world, "a connection of %u with %u breaks", wire->ends[0].station->number,
                       wire->ends[1].station->number);
            reset_wire(wire);
            return;
        }
}

void network_process_ended(struct network *network, struct station *station, bool is_silent) {
    for (struct wire *wire = network->wires; wire != NULL; wire = wire->next)
        for (unsigned i = 0; i < 2; i++) {
            struct wire_end *end = &wire->ends[i];
            if (end->station != station || end->is_gone || wire->ends[1 - i].is_gone)
                continue;
            if (is_silent) {
                wire->is_silent = true;
                if (wire->stream != NULL)
                    wire->stream->is_silent = true;
                end->is_gone = true;
            } else {
                wire_close(end);
            }
        }
}

void network_process_began(struct network *network, struct station *station) {
    for (struct wire *wire = network->wires; wire != NULL; wire = wire->next)
        if (wire->is_silent && (wire->ends[0].station == station || wire->ends[1].station == station))
            break_wire(wire);
}

/* ---- Frames ---- */

static void parcel_arrives(void *context) {
    struct parcel *parcel = context;
    struct wire_end *to = parcel->to;
    struct network *network = to->wire->network;
    trace_number(&network->world->trace, network->world->now_ns + parcel->bytes.size);
    if (!to->is_gone && !to->is_over && !to->wire->is_silent) {
        if (parcel->is_end) {
            to->is_over = true;
        } else {
            CHECK(buffer_append(&to->inbox, parcel->bytes.data, parcel->bytes.size));
        }
        station_wire_ready(to);
    }
    free_parcel(network, parcel);
}

static struct parcel *send_parcel(struct wire_end *to, uint64_t arrival_ns) {
    struct network *network = to->wire->network;
    struct parcel *parcel = world_alloc(network->world, sizeof *parcel);
    parcel->to = to;
    buffer_init(&parcel->bytes, &network->world->mem);
    parcel->next = network->parcels;
    if (parcel->next != NULL)
        parcel->next->previous = parcel;
    network->parcels = parcel;
    world_at(network->world, arrival_ns, parcel_arrives, parcel);
    return parcel;
}

/* What is sent now arrives behind all that was sent before. */
static uint64_t arrival_in_order(struct wire_end *to) {
    struct network *network = to->wire->network;
    const struct network_faults *faults = &network->conditions->network;
    uint64_t at_ns = network->world->now_ns + some_delay(network);
    if (faults->stall_permille != 0 && chance_permille(dice(network), faults->stall_permille))
        at_ns += chance_magnitude(dice(network), 1000, faults->stall_max_ns);
    if (at_ns < to->last_arrival_ns)
        at_ns = to->last_arrival_ns;
    to->last_arrival_ns = at_ns;
    return at_ns;
}

struct delivery {
    struct parcel *parcel; /* of the frames before, and when it arrives */
    uint64_t arrival_ns;
};

static void deliver_at(struct wire_end *to, const struct frame *frame, uint64_t arrival_ns,
                       struct delivery *delivery) {
    if (delivery->parcel == NULL || delivery->arrival_ns != arrival_ns) {
        delivery->parcel = send_parcel(to, arrival_ns);
        delivery->arrival_ns = arrival_ns;
    }
    CHECK(peer_frame_append(&delivery->parcel->bytes, frame));
}

static void deliver(struct wire_end *to, const struct frame *frame, struct delivery *delivery) {
    struct network *network = to->wire->network;
    const struct frame_faults *faults = &network->conditions->frames;
    struct rng *rng = dice(network);
    struct network_statistics *statistics = &network->statistics;
    statistics->frames++;
    statistics->bytes += frame->size;
    statistics->kinds[frame->kind < FRAME_KIND_COUNT ? frame->kind : 0]++;
    if (frame->size > statistics->longest_frame)
        statistics->longest_frame = frame->size;
    bool opens = frame->kind < FRAME_ACKNOWLEDGED;
    if (to->wire->is_silent || is_cut(wire_other(to)) ||
        (!opens && faults->lost != 0 && chance_permille(rng, faults->lost))) {
        statistics->lost++;
        return;
    }
    /* One delay for what is written together. */
    uint64_t in_order_ns = delivery->parcel != NULL ? to->last_arrival_ns : arrival_in_order(to);
    if (opens) {
        deliver_at(to, frame, in_order_ns, delivery);
        return;
    }
    if (faults->repeated != 0 && chance_permille(rng, faults->repeated)) {
        statistics->repeated++;
        deliver_at(to, frame, in_order_ns + chance_between(rng, 0, 1000000), &(struct delivery){0});
    }
    if (faults->overtaken != 0 && chance_permille(rng, faults->overtaken)) {
        statistics->overtaken++;
        deliver_at(to, frame, in_order_ns + chance_magnitude(rng, 1000, faults->overtaken_max_ns),
                   &(struct delivery){0});
    } else {
        deliver_at(to, frame, in_order_ns, delivery);
    }
}

static void write_frames(struct wire_end *end, const uint8_t *data, size_t size) {
    struct world *world = end->wire->network->world;
    struct frame frame;
    struct delivery delivery = {0};
    enum frame_status status;
    CHECK(peer_frame_reader_feed(end->cutter, data, size));
    while ((status = peer_frame_reader_next(end->cutter, &frame)) == FRAME_COMPLETE)
        deliver(wire_other(end), &frame, &delivery);
    if (status == FRAME_BROKEN)
        world_fail(world, "I-REPLY: node %u sends bytes that are no frames", end->station->number);
}

/* ---- As sockets ---- */

static struct stream_end *stream_end(const struct wire_end *end) {
    return &end->wire->stream->ends[end->is_caller ? 0 : 1];
}

size_t wire_write(struct wire_end *end, const uint8_t *data, size_t size) {
    if (end->wire->stream != NULL) {
        size_t taken = stream_write(stream_end(end), data, size);
        end->wire->network->statistics.bytes += taken;
        return taken;
    }
    if (!end->is_over && !wire_other(end)->is_gone)
        write_frames(end, data, size);
    return size;
}

size_t wire_read(struct wire_end *end, uint8_t *space, size_t size) {
    if (end->wire->stream != NULL)
        return stream_read(stream_end(end), space, size);
    size_t taken = end->inbox.size - end->inbox_taken;
    taken = taken < size ? taken : size;
    if (taken == 0)
        return 0;
    memcpy(space, end->inbox.data + end->inbox_taken, taken);
    end->inbox_taken += taken;
    if (end->inbox_taken == end->inbox.size || end->inbox_taken >= COMPACT_SIZE) {
        buffer_consume(&end->inbox, end->inbox_taken);
        end->inbox_taken = 0;
    }
    return taken;
}

bool wire_has_bytes(const struct wire_end *end) {
    return end->wire->stream != NULL ? stream_has_bytes(stream_end(end))
                                     : end->inbox.size != end->inbox_taken;
}

bool wire_has_room(const struct wire_end *end) {
    return end->wire->stream == NULL || stream_has_room(stream_end(end));
}

bool wire_is_over(const struct wire_end *end) {
    return end->wire->stream != NULL ? stream_is_over(stream_end(end)) : end->is_over && !wire_has_bytes(end);
}

bool wire_has_timed_out(const struct wire_end *end) {
    return end->wire->has_timed_out;
}

void wire_close(struct wire_end *end) {
    if (end->is_gone)
        return;
    end->is_gone = true;
    struct wire_end *other = wire_other(end);
    if (end->wire->stream != NULL) {
        stream_close(stream_end(end));
        return;
    }
    release_end(end);
    if (other->is_gone || end->is_over)
        return;
    if (is_cut(end)) {
        end->wire->is_silent = true; /* the word of it is lost */
        return;
    }
    send_parcel(other, arrival_in_order(other))->is_end = true;
}
