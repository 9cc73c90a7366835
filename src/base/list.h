/*
 * list.h - a doubly linked list whose links live inside the listed things.
 *
 * May touch: the nodes that the caller embeds. Knows nothing of what they are embedded in, and owns nothing:
 * the caller keeps every listed thing in place and alive while it is listed.
 * Invariants: a node is in one list at most; a node that is in none has null links, so a second removal stops
 * the program at once instead of spoiling a list.
 * Tests: tests/unit/base/list_test.c
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *previous;
    struct list_node *next;
};

/* Refers to itself: must not be moved or copied once it is initialised. */
struct list {
    struct list_node end; /* before the first and behind the last node */
};

/* The thing that node is embedded in: LIST_ENTRY(node, struct session, idle_node). */
#define LIST_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

/*
 * Runs the following statement for every node from first to last. It may remove (and free) the current node,
 * but no other one; nodes appended behind the last are visited too, unless the current node was the last.
 */
#define LIST_FOR_EACH(node, list)                                                                         \
    for (struct list_node *node = (list)->end.next, *node##_following = node->next; node != &(list)->end; \
         node = node##_following, node##_following = node->next)

static inline void list_init(struct list *list) {
    list->end.previous = &list->end;
    list->end.next = &list->end;
}

/* Makes a node one that is in no list. All-zero memory is as good. */
static inline void list_node_init(struct list_node *node) {
    node->previous = NULL;
    node->next = NULL;
}

static inline bool list_node_is_linked(const struct list_node *node) {
    return node->next != NULL;
}

static inline bool list_is_empty(const struct list *list) {
    return list->end.next == &list->end;
}

/* Null if the list is empty. */
static inline struct list_node *list_first(const struct list *list) {
    return list_is_empty(list) ? NULL : list->end.next;
}

static inline struct list_node *list_last(const struct list *list) {
    return list_is_empty(list) ? NULL : list->end.previous;
}

/* The node behind node, null if it is the last one. */
static inline struct list_node *list_next(const struct list *list, const struct list_node *node) {
    return node->next == &list->end ? NULL : node->next;
}

/* Puts a node that is in no list in front of another, which is in one. */
static inline void list_insert_before(struct list_node *other, struct list_node *node) {
    node->previous = other->previous;
    node->next = other;
    other->previous->next = node;
    other->previous = node;
}

/* The node must be in no list. */
static inline void list_append(struct list *list, struct list_node *node) {
    list_insert_before(&list->end, node);
}

static inline void list_prepend(struct list *list, struct list_node *node) {
    list_insert_before(list->end.next, node);
}

/* The node must be in a list. */
static inline void list_remove(struct list_node *node) {
    node->previous->next = node->next;
    node->next->previous = node->previous;
    list_node_init(node);
}

#endif
