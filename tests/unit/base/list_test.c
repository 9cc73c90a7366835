/*
 * list_test.c - the intrusive list: order, removal, walking while the current node goes.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/list.h"

#include <criterion/criterion.h>
#include <string.h>

struct letter {
    char name;
    struct list_node node;
};

static struct letter letters[5] = {{.name = 'a'}, {.name = 'b'}, {.name = 'c'}, {.name = 'd'}, {.name = 'e'}};

static char name_of(struct list_node *node) {
    return LIST_ENTRY(node, struct letter, node)->name;
}

/* The letters from first to last; the way back must show the same. */
static void expect_order(struct list *list, const char *expected) {
    char forward[16] = {0};
    size_t count = 0;
    LIST_FOR_EACH(node, list) {
        forward[count++] = name_of(node);
    }
    cr_expect_str_eq(forward, expected);

    for (struct list_node *node = list->end.previous; node != &list->end; node = node->previous)
        cr_expect_eq(name_of(node), expected[--count]);
    cr_expect_eq(count, 0);
}

static void fill(struct list *list) {
    list_init(list);
    for (size_t i = 0; i < 5; i++)
        list_append(list, &letters[i].node);
}

Test(list, a_new_list_is_empty) {
    struct list list;
    list_init(&list);
    cr_expect(list_is_empty(&list));
    cr_expect_null(list_first(&list));
    cr_expect_null(list_last(&list));
    expect_order(&list, "");
}

Test(list, appending_and_prepending_keep_the_order) {
    struct list list;
    list_init(&list);
    list_append(&list, &letters[2].node);
    cr_expect(!list_is_empty(&list));
    list_append(&list, &letters[3].node);
    list_prepend(&list, &letters[1].node);
    list_prepend(&list, &letters[0].node);
    expect_order(&list, "abcd");
    cr_expect_eq(list_first(&list), &letters[0].node);
    cr_expect_eq(list_last(&list), &letters[3].node);
    list_insert_before(&letters[2].node, &letters[4].node);
    expect_order(&list, "abecd");
}

Test(list, next_walks_to_the_end) {
    struct list list;
    fill(&list);
    cr_expect_eq(list_next(&list, &letters[0].node), &letters[1].node);
    cr_expect_null(list_next(&list, &letters[4].node));
}

Test(list, removing_leaves_the_others_in_order) {
    struct list list;
    fill(&list);
    list_remove(&letters[2].node);
    expect_order(&list, "abde");
    list_remove(&letters[0].node);
    expect_order(&list, "bde");
    list_remove(&letters[4].node);
    expect_order(&list, "bd");
    list_remove(&letters[1].node);
    list_remove(&letters[3].node);
    expect_order(&list, "");
    cr_expect(list_is_empty(&list));
}

Test(list, a_node_knows_whether_it_is_in_a_list) {
    struct list list;
    struct list_node node = {0};
    list_init(&list);
    cr_expect(!list_node_is_linked(&node));
    list_append(&list, &node);
    cr_expect(list_node_is_linked(&node));
    list_remove(&node);
    cr_expect(!list_node_is_linked(&node));
    memset(&node, 0xff, sizeof(node));
    list_node_init(&node);
    cr_expect(!list_node_is_linked(&node));
}

Test(list, the_current_node_may_be_removed_while_walking) {
    struct list list;
    fill(&list);
    LIST_FOR_EACH(node, &list) {
        char name = name_of(node);
        if (name != 'c') {
            list_remove(node);
            memset(node, 0xff, sizeof(*node)); /* as good as freed */
        }
    }
    expect_order(&list, "c");
    LIST_FOR_EACH(node, &list) {
        list_remove(node);
    }
    cr_expect(list_is_empty(&list));
}

Test(list, nodes_appended_while_walking_are_visited_too) {
    struct list list;
    list_init(&list);
    list_append(&list, &letters[0].node);
    list_append(&list, &letters[1].node);
    char seen[8] = {0};
    size_t count = 0;
    LIST_FOR_EACH(node, &list) {
        seen[count++] = name_of(node);
        if (name_of(node) == 'a')
            list_append(&list, &letters[2].node);
    }
    cr_expect_str_eq(seen, "abc");
}

Test(list, a_node_moves_from_one_list_to_another) {
    struct list from, to;
    fill(&from);
    list_init(&to);
    LIST_FOR_EACH(node, &from) {
        list_remove(node);
        list_prepend(&to, node);
    }
    expect_order(&from, "");
    expect_order(&to, "edcba");
}
