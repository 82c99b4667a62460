// @NAME@: pairs players of nearest rating, region by region.
//
// The contract, with units and ranges, is wit/ranked.wit. `ranked plugin build` makes policy.h from it (see build/): names in kebab-case there
// are in snake_case here, behind the name of their interface. The host hands over everybody who waits, as columns: entry t of a column per
// ticket belongs to queue ticket t. It checks every proposal and drops what breaks a rule. An instance answers many ticks, so memory is freed.

#include "policy.h"

#include <stdlib.h>
#include <string.h>

typedef exports_ranked_plugin_lifecycle_description_t description_t;
typedef exports_ranked_plugin_lifecycle_list_parameter_error_t parameter_errors_t;
typedef exports_ranked_plugin_lifecycle_queue_shape_t queue_shape_t;
typedef exports_ranked_plugin_matchmaking_policy_pool_t pool_t;
typedef exports_ranked_plugin_matchmaking_policy_proposals_t proposals_t;

// Widest difference in mean between any two players of a match.
static const double MEAN_DIFFERENCE_MAX = 1000000.0;
static const uint32_t NEW_MATCH = UINT32_MAX;
static const uint8_t MUST_NOT_MEET = 255;
static const uint16_t LATENCY_UNKNOWN = UINT16_MAX;
// What keeps a ticket waiting, as the contract numbers it.
enum { MATCHED = 0, PLAYERS = 1, SKILL = 2, LATENCY = 4, SERVERS = 6, APART = 7 };
// The contract allows no more teams.
#define TEAMS_MAX 256

// Filled by `configure`, once per instance.
static size_t team_count;
static size_t team_sizes[TEAMS_MAX];
static size_t players;

void exports_ranked_plugin_lifecycle_describe(description_t *ret) {
    policy_string_dup(&ret->name, "@NAME@");
    policy_string_dup(&ret->version, "0.1.0");
    policy_string_dup(&ret->parameters_schema, "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{}}");
}

bool exports_ranked_plugin_lifecycle_configure(queue_shape_t *shape, policy_string_t *parameters, parameter_errors_t *err) {
    bool is_empty = parameters->len == 0 || (parameters->len == 2 && memcmp(parameters->ptr, "{}", 2) == 0);
    if (!is_empty) {
        err->len = 1;
        err->ptr = malloc(sizeof *err->ptr);
        policy_string_dup(&err->ptr[0].path, "");
        policy_string_dup(&err->ptr[0].problem, "this plugin has no parameters: leave the table empty");
        return false;
    }
    team_count = shape->teams;
    players = 0;
    for (size_t team = 0; team < team_count; team++) {
        // One entry stands for all teams of a free-for-all.
        team_sizes[team] = shape->team_sizes.ptr[shape->team_sizes.len == 1 ? 0 : team];
        players += team_sizes[team];
    }
    exports_ranked_plugin_lifecycle_queue_shape_free(shape);
    policy_string_free(parameters);
    return true;
}

static size_t start_of(const pool_t *pool, uint32_t ticket) {
    return ticket == 0 ? 0 : pool->member_end.ptr[ticket - 1];
}

// Mean of a ticket with one player.
static double mean_of(const pool_t *pool, uint32_t ticket) {
    return pool->mean.ptr[start_of(pool, ticket)];
}

// `qsort` hands over nothing but the two entries.
static const pool_t *sorted_pool;

// By mean; equal means by index, so that the answer never depends on chance.
static int by_mean(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    double mean_a = mean_of(sorted_pool, a), mean_b = mean_of(sorted_pool, b);
    if (mean_a != mean_b) {
        return mean_a < mean_b ? -1 : 1;
    }
    return a < b ? -1 : a > b;
}

// Difference between the best and the worst mean; the table is sorted.
static double gap(const pool_t *pool, const uint32_t *table) {
    return mean_of(pool, table[players - 1]) - mean_of(pool, table[0]);
}

static bool is_seated(const uint32_t *table, uint32_t ticket) {
    for (size_t i = 0; i < players; i++) {
        if (table[i] == ticket) {
            return true;
        }
    }
    return false;
}

// What keeps these tickets from playing each other in this region, or MATCHED.
static uint8_t why_not(const pool_t *pool, size_t region, const uint32_t *table) {
    for (size_t i = 0; i < players; i++) {
        uint32_t ticket = table[i];
        if (gap(pool, table) > MEAN_DIFFERENCE_MAX || gap(pool, table) > pool->reach.ptr[ticket]) {
            return SKILL;
        }
        uint16_t latency = pool->latency_ms.ptr[start_of(pool, ticket) * pool->slots.len + region];
        if (latency != LATENCY_UNKNOWN && latency > pool->latency_max_ms.ptr[ticket]) {
            return LATENCY;
        }
    }
    for (size_t pair = 0; pair < pool->apart_weight.len; pair++) {
        const uint32_t *tickets = &pool->apart.ptr[2 * pair];
        if (pool->apart_weight.ptr[pair] == MUST_NOT_MEET && is_seated(table, tickets[0]) && is_seated(table, tickets[1])) {
            return APART;
        }
    }
    return MATCHED;
}

// Appends a match: deals the players out, best first and back and forth, so that every team gets strong and weak ones.
static void seat(proposals_t *ret, const pool_t *pool, size_t region, const uint32_t *table) {
    size_t filled[TEAMS_MAX] = {0}, team_start[TEAMS_MAX];
    size_t start = ret->ticket.len, next = players;
    for (size_t team = 0; team < team_count; team++) {
        team_start[team] = start;
        start += team_sizes[team];
        ret->team_end.ptr[ret->team_end.len++] = (uint32_t)start;
    }
    for (size_t turn = 0; next > 0; turn++) {
        for (size_t i = 0; i < team_count && next > 0; i++) {
            size_t team = turn % 2 == 0 ? i : team_count - 1 - i;
            if (filled[team] < team_sizes[team]) {
                ret->ticket.ptr[team_start[team] + filled[team]++] = table[--next];
            }
        }
    }
    for (size_t i = 0; i < players; i++) {
        ret->limit.ptr[table[i]] = MATCHED;
    }
    ret->ticket.len = start;
    ret->match_end.ptr[ret->match_end.len++] = (uint32_t)ret->team_end.len;
    ret->region.ptr[ret->region.len++] = (uint16_t)region;
    ret->quality.ptr[ret->quality.len++] = 1.0 / (1.0 + gap(pool, table));
    ret->backfill.ptr[ret->backfill.len++] = NEW_MATCH;
}

// Walks along the means of those who wait and makes a match of each run of neighbors who accept each other.
static void seat_region(proposals_t *ret, const pool_t *pool, size_t region, const uint32_t *waiting, size_t waiting_count) {
    uint32_t slots = pool->slots.ptr[region];
    size_t position = 0;
    while (position + players <= waiting_count) {
        const uint32_t *table = &waiting[position];
        uint8_t problem = slots == 0 ? SERVERS : why_not(pool, region, table);
        if (problem != MATCHED) {
            ret->limit.ptr[table[0]] = problem;
            position += 1;
            continue;
        }
        seat(ret, pool, region, table);
        position += players;
        slots -= 1;
    }
}

// Room for all that can be proposed: there are never more matches or teams than tickets.
static void make_room(proposals_t *ret, size_t tickets) {
    memset(ret, 0, sizeof *ret);
    ret->ticket.ptr = malloc((tickets + 1) * sizeof *ret->ticket.ptr);
    ret->team_end.ptr = malloc((tickets + 1) * sizeof *ret->team_end.ptr);
    ret->match_end.ptr = malloc((tickets + 1) * sizeof *ret->match_end.ptr);
    ret->region.ptr = malloc((tickets + 1) * sizeof *ret->region.ptr);
    ret->quality.ptr = malloc((tickets + 1) * sizeof *ret->quality.ptr);
    ret->backfill.ptr = malloc((tickets + 1) * sizeof *ret->backfill.ptr);
    ret->limit.ptr = malloc(tickets + 1);
    ret->limit.len = tickets;
    memset(ret->limit.ptr, PLAYERS, tickets);
}

void exports_ranked_plugin_matchmaking_policy_propose(pool_t *pool, proposals_t *ret) {
    size_t tickets = pool->member_end.len, single_count = 0;
    make_room(ret, tickets);
    uint32_t *single = malloc((tickets + 1) * sizeof *single), *waiting = malloc((tickets + 1) * sizeof *waiting);
    // A party of two or more waits for another policy: this one seats one player at a time.
    for (uint32_t ticket = 0; ticket < tickets; ticket++) {
        if (pool->member_end.ptr[ticket] - start_of(pool, ticket) == 1) {
            single[single_count++] = ticket;
        }
    }
    sorted_pool = pool;
    qsort(single, single_count, sizeof *single, by_mean);
    for (size_t region = 0; region < pool->slots.len; region++) {
        size_t waiting_count = 0;
        for (size_t i = 0; i < single_count; i++) {
            if (ret->limit.ptr[single[i]] != MATCHED && (pool->regions.ptr[single[i]] >> region & 1)) {
                waiting[waiting_count++] = single[i];
            }
        }
        seat_region(ret, pool, region, waiting, waiting_count);
    }
    free(single);
    free(waiting);
    exports_ranked_plugin_matchmaking_policy_pool_free(pool);
}
