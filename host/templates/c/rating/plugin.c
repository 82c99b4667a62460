// @NAME@: an Elo engine for teams of any size.
//
// The contract, with units and ranges, is wit/ranked.wit. `ranked plugin build` makes rating.h from it (see build/): names in kebab-case there
// are in snake_case here, behind the name of their interface. Each call of the host runs in a fresh instance, which is thrown away after
// it: nothing is remembered in globals, and what an argument holds need not be freed.

#include "rating.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef exports_ranked_plugin_lifecycle_description_t description_t;
typedef exports_ranked_plugin_lifecycle_list_parameter_error_t parameter_errors_t;
typedef exports_ranked_plugin_lifecycle_queue_shape_t queue_shape_t;
typedef exports_ranked_plugin_rating_engine_contest_t contest_t;
typedef exports_ranked_plugin_rating_engine_entrant_t entrant_t;
typedef exports_ranked_plugin_rating_engine_fault_t fault_t;
typedef exports_ranked_plugin_rating_engine_list_entrant_t entrants_t;
typedef exports_ranked_plugin_rating_engine_rating_t rating_t;
typedef exports_ranked_plugin_rating_engine_setting_t setting_t;
typedef exports_ranked_plugin_rating_engine_update_t update_t;

// Mean of a player never seen.
static const double START = 1500.0;
// This many points ahead means ten to one.
static const double SCALE = 400.0;
// Points that a contest moves at most.
static const double STEP = 32.0;
static const double UNCERTAINTY_START = 350.0;
static const double UNCERTAINTY_MIN = 75.0;

void exports_ranked_plugin_lifecycle_describe(description_t *ret) {
    rating_string_dup(&ret->name, "@NAME@");
    rating_string_dup(&ret->version, "0.1.0");
    rating_string_dup(&ret->parameters_schema, "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{}}");
}

bool exports_ranked_plugin_lifecycle_configure(queue_shape_t *shape, rating_string_t *parameters, parameter_errors_t *err) {
    (void)shape;
    if (parameters->len > 0 && (parameters->len != 2 || memcmp(parameters->ptr, "{}", 2) != 0)) {
        err->len = 1;
        err->ptr = malloc(sizeof *err->ptr);
        rating_string_dup(&err->ptr[0].path, "");
        rating_string_dup(&err->ptr[0].problem, "this plugin has no parameters: leave the table empty");
        return false;
    }
    return true;
}

// Probability that one strength places before another, draws counted half.
static double win_probability(double mine, double theirs) {
    return 1.0 / (1.0 + pow(10.0, (theirs - mine) / SCALE));
}

// Average mean per team, or NULL if a team is empty or there are fewer than two.
static double *team_strengths(const entrants_t *entrants, size_t teams) {
    double *strengths = calloc(teams + 1, sizeof(double));
    size_t *counts = calloc(teams + 1, sizeof(size_t));
    for (size_t i = 0; i < entrants->len; i++) {
        strengths[entrants->ptr[i].team] += entrants->ptr[i].rating.mean;
        counts[entrants->ptr[i].team] += 1;
    }
    for (size_t team = 0; team < teams; team++) {
        if (counts[team] == 0) {
            return NULL;
        }
        strengths[team] /= (double)counts[team];
    }
    return teams < 2 ? NULL : strengths;
}

void exports_ranked_plugin_rating_engine_initial(rating_t *ret) {
    *ret = (rating_t){.mean = START, .uncertainty = UNCERTAINTY_START};
}

// Points that a team wins or loses: how much better it did against each other team than expected.
static double change(size_t team, const double *strengths, const contest_t *contest) {
    double surprise = 0.0;
    for (size_t other = 0; other < contest->places.len; other++) {
        if (other != team) {
            uint16_t mine = contest->places.ptr[team], theirs = contest->places.ptr[other];
            double score = mine < theirs ? 1.0 : mine == theirs ? 0.5 : 0.0;
            surprise += score - win_probability(strengths[team], strengths[other]);
        }
    }
    return STEP * contest->trust * surprise / (double)(contest->places.len - 1);
}

bool exports_ranked_plugin_rating_engine_rate(rating_list_u8_t *memory, contest_t *contest, update_t *ret, fault_t *err) {
    double *strengths = team_strengths(&contest->entrants, contest->places.len);
    if (strengths == NULL) {
        err->tag = EXPORTS_RANKED_PLUGIN_RATING_ENGINE_FAULT_UNSUPPORTED_SHAPE;
        return false;
    }
    ret->memory = *memory;
    ret->ratings.len = contest->entrants.len;
    ret->ratings.ptr = malloc(contest->entrants.len * sizeof(rating_t));
    for (size_t i = 0; i < contest->entrants.len; i++) {
        const entrant_t *entrant = &contest->entrants.ptr[i];
        rating_t rating = entrant->rating;
        double shrunk = rating.uncertainty * (1.0 - 0.05 * contest->trust * entrant->presence);
        rating.mean += change(entrant->team, strengths, contest) * entrant->presence;
        rating.uncertainty = fmax(fmin(UNCERTAINTY_MIN, rating.uncertainty), shrunk);
        ret->ratings.ptr[i] = rating;
    }
    return true;
}

bool exports_ranked_plugin_rating_engine_predict(
    rating_list_u8_t *memory, entrants_t *line_up, setting_t *setting, rating_list_f64_t *ret, fault_t *err) {
    (void)memory, (void)setting;
    size_t teams = 0;
    for (size_t i = 0; i < line_up->len; i++) {
        size_t team = line_up->ptr[i].team;
        teams = team + 1 > teams ? team + 1 : teams;
    }
    double *strengths = team_strengths(line_up, teams);
    if (strengths == NULL) {
        err->tag = EXPORTS_RANKED_PLUGIN_RATING_ENGINE_FAULT_UNSUPPORTED_SHAPE;
        return false;
    }
    ret->len = 0;
    ret->ptr = malloc(teams * teams * sizeof(double));
    for (size_t i = 0; i < teams; i++) {
        for (size_t j = i + 1; j < teams; j++) {
            ret->ptr[ret->len++] = win_probability(strengths[i], strengths[j]);
        }
    }
    return true;
}

void exports_ranked_plugin_rating_engine_soften(rating_t *rating, double keep, rating_t *ret) {
    *ret = *rating;
    ret->mean = START + keep * (rating->mean - START);
    ret->uncertainty = UNCERTAINTY_START + keep * (rating->uncertainty - UNCERTAINTY_START);
}

double exports_ranked_plugin_rating_engine_visible(rating_t *rating) {
    return rating->mean;
}
