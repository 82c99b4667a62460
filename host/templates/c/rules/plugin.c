// @NAME@: caps what a game server may claim.
//
// The contract, with units and ranges, is wit/ranked.wit. `ranked plugin build` makes rules.h from it (see build/): names in kebab-case there
// are in snake_case here, behind the name of their interface. Arguments of an exported function belong to the callee, who frees them.

#include "rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef exports_ranked_plugin_lifecycle_description_t description_t;
typedef exports_ranked_plugin_lifecycle_list_parameter_error_t parameter_errors_t;
typedef exports_ranked_plugin_lifecycle_queue_shape_t queue_shape_t;
typedef exports_ranked_plugin_stat_rules_bound_t bound_t;
typedef exports_ranked_plugin_stat_rules_claim_t claim_t;
typedef exports_ranked_plugin_stat_rules_clamp_t clamp_t;
typedef exports_ranked_plugin_stat_rules_finding_t finding_t;
typedef exports_ranked_plugin_stat_rules_line_t line_t;
typedef exports_ranked_plugin_stat_rules_verdict_t verdict_t;

// Statistics that are capped, wherever the queue has them.
static const char *const CAPPED[] = {"kills", "deaths"};
#define CAPPED_COUNT (sizeof CAPPED / sizeof *CAPPED)
// The most that a player can do of anything capped.
static const double CAP = 60.0;
// `player` of a line that belongs to the contest as a whole.
static const uint16_t NOBODY = UINT16_MAX;

// The queue's indices of what is capped, filled by `configure`.
static uint16_t capped[CAPPED_COUNT];
static size_t capped_count;

static bool is_text(const rules_string_t *text, const char *expected) {
    return text->len == strlen(expected) && memcmp(text->ptr, expected, text->len) == 0;
}

static bool is_capped(const line_t *line) {
    if (line->player == NOBODY) {
        return false;
    }
    for (size_t i = 0; i < capped_count; i++) {
        if (capped[i] == line->stat) {
            return true;
        }
    }
    return false;
}

void exports_ranked_plugin_lifecycle_describe(description_t *ret) {
    rules_string_dup(&ret->name, "@NAME@");
    rules_string_dup(&ret->version, "0.1.0");
    rules_string_dup(&ret->parameters_schema, "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{}}");
}

bool exports_ranked_plugin_lifecycle_configure(queue_shape_t *shape, rules_string_t *parameters, parameter_errors_t *err) {
    if (parameters->len > 0 && !is_text(parameters, "{}")) {
        err->len = 1;
        err->ptr = malloc(sizeof *err->ptr);
        rules_string_dup(&err->ptr[0].path, "");
        rules_string_dup(&err->ptr[0].problem, "this plugin has no parameters: leave the table empty");
        return false;
    }
    capped_count = 0;
    for (size_t stat = 0; stat < shape->stats.len; stat++) {
        for (size_t i = 0; i < CAPPED_COUNT; i++) {
            if (is_text(&shape->stats.ptr[stat], CAPPED[i])) {
                capped[capped_count++] = (uint16_t)stat;
            }
        }
    }
    rules_string_t line;
    rules_string_set(&line, "ready");
    ranked_plugin_log_log(RANKED_PLUGIN_LOG_LEVEL_DEBUG, &line);
    exports_ranked_plugin_lifecycle_queue_shape_free(shape);
    rules_string_free(parameters);
    return true;
}

void exports_ranked_plugin_stat_rules_bounds(exports_ranked_plugin_stat_rules_list_bound_t *ret) {
    ret->len = capped_count;
    ret->ptr = malloc((capped_count + 1) * sizeof *ret->ptr);
    for (size_t i = 0; i < capped_count; i++) {
        ret->ptr[i] = (bound_t){.stat = capped[i], .total = false, .min = 0.0, .max = CAP};
    }
}

void exports_ranked_plugin_stat_rules_review(claim_t *claim, verdict_t *ret) {
    ret->clamps.len = 0;
    ret->clamps.ptr = malloc((claim->lines.len + 1) * sizeof(clamp_t));
    ret->findings.len = 0;
    ret->findings.ptr = malloc(2 * sizeof(finding_t));
    for (size_t i = 0; i < claim->lines.len; i++) {
        const line_t *line = &claim->lines.ptr[i];
        // A game server can send anything, also what is no number: that is neither above 0 nor below it, and counts as nothing done.
        double inside = line->value > CAP ? CAP : line->value > 0.0 ? line->value : 0.0;
        if (is_capped(line) && inside != line->value) {
            ret->clamps.ptr[ret->clamps.len++] = (clamp_t){.line = (uint32_t)i, .to = inside};
        }
    }
    if (ret->clamps.len > 0) {
        char detail[64];
        snprintf(detail, sizeof detail, "%u numbers outside 0 to %d", (unsigned)ret->clamps.len, (int)CAP);
        finding_t *finding = &ret->findings.ptr[ret->findings.len++];
        finding->tag = EXPORTS_RANKED_PLUGIN_STAT_RULES_FINDING_SUSPICIOUS;
        rules_string_dup(&finding->val.suspicious.code, "stat-capped");
        rules_string_dup(&finding->val.suspicious.detail, detail);
    }
    if (claim->duration_s == 0 && claim->lines.len > 0) {
        finding_t *finding = &ret->findings.ptr[ret->findings.len++];
        finding->tag = EXPORTS_RANKED_PLUGIN_STAT_RULES_FINDING_HOLD;
        rules_string_dup(&finding->val.hold.code, "no-duration");
        rules_string_dup(&finding->val.hold.detail, "statistics from a contest that took no time");
    }
    exports_ranked_plugin_stat_rules_claim_free(claim);
}
