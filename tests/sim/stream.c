/* stream.c - arrivals as events of the world.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/stream.h"

#define COMPACT_SIZE 65536

static void draw_cut(struct stream *stream) {
    struct rng *rng = world_random(stream->world, CHANCE_NETWORK);
    const struct network_faults *faults = stream->faults;
    stream->pipes[0].cut_at = stream->pipes[1].cut_at = UINT64_MAX;
    if (faults->cut_permille != 0 && chance_permille(rng, faults->cut_permille))
        stream->pipes[chance_permille(rng, 300)].cut_at = chance_between(rng, 1, faults->cut_bytes_max);
}

struct stream *stream_open(struct world *world, const struct network_faults *faults) {
    struct stream *stream = world_alloc(world, sizeof *stream);
    stream->world = world;
    stream->faults = faults;
    for (unsigned i = 0; i < 2; i++) {
        struct stream_pipe *pipe = &stream->pipes[i];
        pipe->from = &stream->ends[i];
        pipe->to = &stream->ends[1 - i];
        buffer_init(&pipe->bytes, &world->mem);
        stream->ends[i] = (struct stream_end){.stream = stream, .out = pipe, .in = &stream->pipes[1 - i]};
    }
    draw_cut(stream);
    return stream;
}

void stream_free(struct stream *stream) {
    buffer_release(&stream->pipes[0].bytes);
    buffer_release(&stream->pipes[1].bytes);
    world_free(stream->world, stream, sizeof *stream);
}

static void tell(struct stream_end *end) {
    if (!end->is_gone && end->ready != NULL)
        end->ready(end->context);
}

static void drop(struct stream_pipe *pipe) {
    buffer_clear(&pipe->bytes);
    pipe->taken = pipe->arrived = 0;
}

/* The connection breaks at this byte. */
static void cut(struct stream *stream) {
    struct rng *rng = world_random(stream->world, CHANCE_NETWORK);
    if (chance_permille(rng, stream->faults->vanish_permille)) {
        stream->is_silent = true;
        /* Who connected gives up some day; the other end may never hear of it. */
        stream->is_reset = false;
        tell(&stream->ends[0]);
        return;
    }
    bool is_abrupt = chance_permille(rng, 500);
    for (unsigned i = 0; i < 2; i++) {
        struct stream_pipe *pipe = &stream->pipes[i];
        pipe->is_closed = pipe->is_over = true;
        if (is_abrupt)
            drop(pipe);
        else
            pipe->bytes.size = pipe->arrived;
    }
    stream->is_reset = true;
    tell(&stream->ends[0]);
    tell(&stream->ends[1]);
}

static void arrive(void *context);

static void move(struct stream_pipe *pipe, bool is_first) {
    struct stream *stream = pipe->from->stream;
    const struct network_faults *faults = stream->faults;
    if (pipe->is_moving || pipe->is_blocked || stream->is_reset || stream->is_silent)
        return;
    struct rng *rng = world_random(stream->world, CHANCE_NETWORK);
    uint64_t delay_ns = is_first ? chance_between(rng, faults->delay_min_ns, faults->delay_max_ns)
                                 : chance_between(rng, 100, 10000);
    if (faults->stall_permille != 0 && chance_permille(rng, faults->stall_permille))
        delay_ns += chance_magnitude(rng, 1000, faults->stall_max_ns);
    pipe->is_moving = true;
    world_at(stream->world, stream->world->now_ns + delay_ns, arrive, pipe);
}

static void compact(struct stream_pipe *pipe) {
    if (pipe->taken == pipe->bytes.size) {
        drop(pipe);
    } else if (pipe->taken >= COMPACT_SIZE) {
        buffer_consume(&pipe->bytes, pipe->taken);
        pipe->arrived -= pipe->taken;
        pipe->taken = 0;
    }
}

static void arrive(void *context) {
    struct stream_pipe *pipe = context;
    struct stream *stream = pipe->from->stream;
    pipe->is_moving = false;
    if (pipe->is_blocked || stream->is_reset || stream->is_silent)
        return;
    struct rng *rng = world_random(stream->world, CHANCE_NETWORK);
    size_t more = pipe->bytes.size - pipe->arrived;
    if (stream->faults->arrive_max != 0 && more > 1) {
        size_t most = chance_between(rng, 1, stream->faults->arrive_max);
        more = more < most ? more : most;
    }
    if (pipe->cut_at - pipe->carried < more)
        more = (size_t)(pipe->cut_at - pipe->carried);
    pipe->arrived += more;
    pipe->carried += more;
    trace_number(&stream->world->trace, stream->world->now_ns + more);
    if (pipe->carried == pipe->cut_at) {
        cut(stream);
        return;
    }
    if (pipe->arrived < pipe->bytes.size)
        move(pipe, false);
    else if (pipe->is_closed)
        pipe->is_over = true;
    tell(pipe->to);
}

static size_t room(const struct stream_pipe *pipe) {
    size_t held = pipe->bytes.size - pipe->taken, window = pipe->from->stream->faults->window;
    return held < window ? window - held : 0;
}

size_t stream_write(struct stream_end *end, const uint8_t *data, size_t size) {
    struct stream *stream = end->stream;
    struct stream_pipe *pipe = end->out;
    if (stream->is_reset || pipe->to->is_gone)
        return size; /* into the void */
    size_t taken = room(pipe) < size ? room(pipe) : size;
    if (stream->faults->write_max != 0 && taken > 1) {
        size_t most =
            chance_between(world_random(stream->world, CHANCE_NETWORK), 1, stream->faults->write_max);
        taken = taken < most ? taken : most;
    }
    CHECK(buffer_append(&pipe->bytes, data, taken));
    if (taken != 0)
        move(pipe, true);
    return taken;
}

size_t stream_read(struct stream_end *end, uint8_t *space, size_t size) {
    struct stream *stream = end->stream;
    struct stream_pipe *pipe = end->in;
    size_t taken = pipe->arrived - pipe->taken;
    taken = taken < size ? taken : size;
    if (stream->faults->read_max != 0 && taken > 1) {
        size_t most =
            chance_between(world_random(stream->world, CHANCE_NETWORK), 1, stream->faults->read_max);
        taken = taken < most ? taken : most;
    }
    if (taken == 0)
        return 0;
    bool was_full = room(pipe) == 0;
    memcpy(space, pipe->bytes.data + pipe->taken, taken);
    pipe->taken += taken;
    compact(pipe);
    if (was_full)
        tell(pipe->from);
    return taken;
}

bool stream_has_bytes(const struct stream_end *end) {
    return end->in->arrived != end->in->taken;
}

bool stream_has_room(const struct stream_end *end) {
    return end->stream->is_reset || end->out->to->is_gone || room(end->out) != 0;
}

bool stream_is_over(const struct stream_end *end) {
    return end->in->is_over && !stream_has_bytes(end);
}

void stream_close(struct stream_end *end) {
    end->is_gone = true;
    end->out->is_closed = true;
    drop(end->in);
    if (end->stream->is_reset)
        return;
    if (end->out->arrived == end->out->bytes.size) {
        /* Nothing is on its way: the end of it is. */
        move(end->out, true);
    }
    tell(end->out->to);
}

void stream_block(struct stream_end *end, bool is_blocked) {
    struct stream_pipe *pipe = end->out;
    pipe->is_blocked = is_blocked;
    if (!is_blocked && (pipe->arrived < pipe->bytes.size || (pipe->is_closed && !pipe->is_over)))
        move(pipe, true);
}

void stream_reset(struct stream *stream) {
    for (unsigned i = 0; i < 2; i++) {
        drop(&stream->pipes[i]);
        stream->pipes[i].is_closed = stream->pipes[i].is_over = true;
    }
    stream->is_reset = true;
    tell(&stream->ends[0]);
    tell(&stream->ends[1]);
}
