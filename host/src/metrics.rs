//! What `/metrics` shows: one registry per host instance, with typed label sets.
//!
//! Labels are bounded: channels, queues of `plugins.toml`, plugin roles, closed results. Never a player, a match, a certificate or an address,
//! or the series would grow with the community. Others increment the public families; the registry itself is only ever read, by
//! [`Metrics::render`].

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::copied_histogram::CopiedHistogram;

/// A histogram per label set, with the buckets that its constructor names.
pub type HistogramFamily<S> = Family<S, Histogram, fn() -> Histogram>;
/// A histogram of plugins per label set.
pub type PluginHistogramFamily = Family<PluginLabels, CopiedHistogram, fn() -> CopiedHistogram>;
/// A gauge of a fraction or a duration.
pub type FloatGauge = Gauge<f64, AtomicU64>;

macro_rules! label_values {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// The label's text: kebab-case and stable.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
                fmt::Write::write_str(encoder, self.name())
            }
        }
    };
}

label_values!(
    /// Who speaks on the other end.
    Channel {
        /// Game servers.
        S2s = "s2s",
        /// Players.
        Rdv = "rdv",
        /// HTTP.
        Http = "http",
        /// The operator.
        Admin = "admin",
    }
);
label_values!(
    /// What admission said to a stranger.
    AdmissionResult {
        /// Let in.
        Admitted = "admitted",
        /// Too many attempts of this address.
        RateLimited = "rate-limited",
        /// Too many half-open connections, of this address or of all.
        HalfOpen = "half-open",
        /// The address serves a penalty.
        Penalized = "penalized",
    }
);
label_values!(
    /// How a handshake ended.
    HandshakeResult {
        /// A session was opened.
        Established = "established",
        /// Silence: unknown identity, bad proof, not in force.
        Refused = "refused",
        /// A frame that could not be read.
        Malformed = "malformed",
        /// A deadline passed.
        TimedOut = "timed-out",
        /// Answered "busy".
        Busy = "busy",
        /// The other end went away.
        Gone = "gone",
    }
);
label_values!(
    /// Which way a message went.
    Direction {
        /// From the peer to the host.
        Received = "received",
        /// From the host to the peer.
        Sent = "sent",
    }
);
label_values!(
    /// What became of a report.
    ReportResult {
        /// Accepted; it counts.
        Accepted = "accepted",
        /// Accepted, held for an operator.
        Held = "held",
        /// Accepted, voided by the rules.
        Voided = "voided",
        /// Sent again and answered with the stored acknowledgement.
        Repeated = "repeated",
        /// Refused.
        Refused = "refused",
    }
);
label_values!(
    /// What a plugin is for.
    PluginRole {
        /// Rating engine.
        Rating = "rating",
        /// Stat rules.
        Rules = "rules",
        /// Matchmaking policy.
        Policy = "policy",
    }
);
impl From<plugin_runtime::Role> for PluginRole {
    fn from(role: plugin_runtime::Role) -> Self {
        match role {
            plugin_runtime::Role::Rating => Self::Rating,
            plugin_runtime::Role::Rules => Self::Rules,
            plugin_runtime::Role::Policy => Self::Policy,
        }
    }
}

label_values!(
    /// What became of a plugin that `plugins.toml` wants instead of another.
    SwapResult {
        /// It is in force.
        Swapped = "swapped",
        /// It does not load, or cannot rate the journal; the other one stays.
        Refused = "refused",
    }
);
label_values!(
    /// Where an active match stands.
    ActiveState {
        /// The allowlist is out.
        Pending = "pending",
        /// The game server admits the players.
        Admitted = "admitted",
        /// It is being played.
        Live = "live",
    }
);
label_values!(
    /// How a match ended.
    MatchEnd {
        /// Its result was accepted.
        Reported = "reported",
        /// It counts for nothing.
        Voided = "voided",
        /// It never began; its players wait again.
        Requeued = "requeued",
    }
);
label_values!(
    /// Something that an operator wants to look into.
    Alert {
        /// Two holders of one certificate.
        CertificateTwice = "certificate-twice",
        /// A superseded login ticket came back: one of two holders is a thief.
        LoginTicketReused = "login-ticket-reused",
        /// A game server claimed another name than its certificate's owner.
        NameMismatch = "name-mismatch",
        /// A peer broke the protocol after authentication.
        PeerMisbehaved = "peer-misbehaved",
        /// A session was closed because the peer read too slowly.
        SlowReader = "slow-reader",
        /// A report for a match that the sender does not host.
        ForeignReport = "foreign-report",
    }
);
label_values!(
    /// What became of a password.
    LoginResult {
        /// Right.
        Accepted = "accepted",
        /// Wrong, or no such player.
        Refused = "refused",
        /// Not looked at: too many attempts, or no room to compute.
        Delayed = "delayed",
    }
);

/// One channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByChannel {
    /// The channel.
    pub channel: Channel,
}

/// One queue of `plugins.toml`, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByQueue {
    /// The queue's name.
    pub queue: String,
}

impl ByQueue {
    /// The label set of this queue.
    pub fn new(queue: impl Into<String>) -> Self {
        Self { queue: queue.into() }
    }
}

/// One HTTP route and class of answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    /// The route's pattern, never the path that was asked for.
    pub route: String,
    /// `2xx`, `4xx`, `5xx`, ..
    pub status: &'static str,
}

/// What admission decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AdmissionLabels {
    /// The channel.
    pub channel: Channel,
    /// The decision.
    pub result: AdmissionResult,
}

/// How handshakes end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HandshakeLabels {
    /// The channel.
    pub channel: Channel,
    /// The end.
    pub result: HandshakeResult,
}

/// One type of message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MessageLabels {
    /// The channel.
    pub channel: Channel,
    /// The way it went.
    pub direction: Direction,
    /// The message's name in the schema; `unknown` for every type without one.
    pub message: &'static str,
}

/// What became of reports.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReportLabels {
    /// The queue's name; empty if the match is unknown.
    pub queue: String,
    /// The result.
    pub result: ReportResult,
}

/// Where matches stand.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MatchLabels {
    /// The queue's name.
    pub queue: String,
    /// The state.
    pub state: ActiveState,
}

/// How matches end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MatchEndLabels {
    /// The queue's name.
    pub queue: String,
    /// The end.
    pub end: MatchEnd,
}

/// One plugin of one queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PluginLabels {
    /// The queue's name.
    pub queue: String,
    /// The role that it fills.
    pub role: PluginRole,
}

/// One kind of fault of one plugin.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FaultLabels {
    /// The queue's name.
    pub queue: String,
    /// The role that it fills.
    pub role: PluginRole,
    /// The fault's kebab-case code.
    pub fault: &'static str,
}

/// How swaps of plugins end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SwapLabels {
    /// The queue's name.
    pub queue: String,
    /// The role.
    pub role: PluginRole,
    /// The end.
    pub result: SwapResult,
}

/// Reports at which shadows stopped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ShadowLabels {
    /// The queue's name.
    pub queue: String,
    /// The shadow's name.
    pub shadow: String,
    /// How its engine failed.
    pub fault: &'static str,
}

/// One kind of alert.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AlertLabels {
    /// What happened.
    pub alert: Alert,
}

/// How logins end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LoginLabels {
    /// The end.
    pub result: LoginResult,
}

/// Every family of one host. Fields are handles: incrementing one needs no access to the registry.
pub struct Metrics {
    /// HTTP answers.
    pub http_requests: Family<RouteLabels, Counter>,
    /// Passwords looked at.
    pub logins: Family<LoginLabels, Counter>,
    /// Decisions at accept.
    pub admissions: Family<AdmissionLabels, Counter>,
    /// Connections accepted and not yet authenticated.
    pub half_open: Family<ByChannel, Gauge>,
    /// Authenticated connections.
    pub sessions_open: Family<ByChannel, Gauge>,
    /// Handshakes by their end.
    pub handshakes: Family<HandshakeLabels, Counter>,
    /// Messages by type and direction.
    pub messages: Family<MessageLabels, Counter>,
    /// Connections that ended without a Close.
    pub sessions_truncated: Family<ByChannel, Counter>,
    /// What an operator wants to look into.
    pub alerts: Family<AlertLabels, Counter>,
    /// Queue tickets waiting.
    pub queue_waiting: Family<ByQueue, Gauge>,
    /// Players waiting.
    pub players_waiting: Family<ByQueue, Gauge>,
    /// Matches that are pending, admitted or live.
    pub matches_active: Family<MatchLabels, Gauge>,
    /// Matches that ended.
    pub matches_ended: Family<MatchEndLabels, Counter>,
    /// From enqueueing to the match, per queue ticket.
    pub match_wait_seconds: HistogramFamily<ByQueue>,
    /// Reports by what became of them.
    pub reports: Family<ReportLabels, Counter>,
    /// Proposals of policies that were dropped because they broke a rule of the pool, beside others that did not.
    pub proposals_dropped: Family<ByQueue, Counter>,
    /// Statistics that were forced into their bounds.
    pub clamps: Family<ByQueue, Counter>,
    /// Accepted reports that wait for their rating engine.
    pub rating_waiting: Family<ByQueue, Gauge>,
    /// Calls of plugins.
    pub plugin_calls: Family<PluginLabels, Counter>,
    /// Faults of plugins.
    pub plugin_faults: Family<FaultLabels, Counter>,
    /// Wall-clock time of calls of plugins.
    pub plugin_call_seconds: PluginHistogramFamily,
    /// Share of the fuel budget that calls burned, 0 to 1.
    pub plugin_call_fuel_share: PluginHistogramFamily,
    /// Share of the fuel budget that the latest call burned, 0 to 1.
    pub plugin_fuel_share: Family<PluginLabels, FloatGauge>,
    /// Largest share of the fuel budget that any call burned since the plugin was loaded, 0 to 1.
    pub plugin_fuel_share_max: Family<PluginLabels, FloatGauge>,
    /// The most memory and tables that any call had since the plugin was loaded.
    pub plugin_memory_bytes: Family<PluginLabels, Gauge>,
    /// Log lines of plugins that were dropped.
    pub plugin_log_lines_dropped: Family<PluginLabels, Counter>,
    /// 1 while the plugin is in quarantine and its fallback runs.
    pub plugin_quarantined: Family<PluginLabels, Gauge>,
    /// Plugins exchanged while the host ran.
    pub plugin_swaps: Family<SwapLabels, Counter>,
    /// Reports that shadows could not rate.
    pub shadow_faults: Family<ShadowLabels, Counter>,
    /// Commands that shared one commit.
    pub store_batch_commands: Histogram,
    /// Time of one commit, sync included.
    pub store_commit_seconds: Histogram,
    /// Time of one matchmaker tick.
    pub tick_seconds: HistogramFamily<ByQueue>,
    /// Entries of the journal.
    pub journal_entries: Gauge,
    registry: Registry,
}

fn seconds_fine() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 14))
}

fn seconds_of_waiting() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 11))
}

/// The last bucket of the plugins' own counters has no end.
fn wall_seconds() -> CopiedHistogram {
    CopiedHistogram::new(plugin_runtime::WALL_BUCKET_ENDS_US.map(|end| end as f64 / 1e6))
}

fn fuel_shares() -> CopiedHistogram {
    CopiedHistogram::new(plugin_runtime::FUEL_SHARE_BUCKET_ENDS)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers every family, all at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            http_requests: Family::default(),
            logins: Family::default(),
            admissions: Family::default(),
            half_open: Family::default(),
            sessions_open: Family::default(),
            handshakes: Family::default(),
            messages: Family::default(),
            sessions_truncated: Family::default(),
            alerts: Family::default(),
            queue_waiting: Family::default(),
            players_waiting: Family::default(),
            matches_active: Family::default(),
            matches_ended: Family::default(),
            match_wait_seconds: Family::new_with_constructor(seconds_of_waiting),
            reports: Family::default(),
            proposals_dropped: Family::default(),
            clamps: Family::default(),
            rating_waiting: Family::default(),
            plugin_calls: Family::default(),
            plugin_faults: Family::default(),
            plugin_call_seconds: Family::new_with_constructor(wall_seconds),
            plugin_call_fuel_share: Family::new_with_constructor(fuel_shares),
            plugin_fuel_share: Family::default(),
            plugin_fuel_share_max: Family::default(),
            plugin_memory_bytes: Family::default(),
            plugin_log_lines_dropped: Family::default(),
            plugin_quarantined: Family::default(),
            plugin_swaps: Family::default(),
            shadow_faults: Family::default(),
            store_batch_commands: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            store_commit_seconds: seconds_fine(),
            tick_seconds: Family::new_with_constructor(seconds_fine),
            journal_entries: Gauge::default(),
            registry: Registry::with_prefix("ranked"),
        };
        metrics.register_outside();
        metrics.register_ladder();
        metrics.register_inside();
        metrics
    }

    /// Strangers, players and game servers.
    fn register_outside(&mut self) {
        let registry = &mut self.registry;
        registry.register("http_requests", "HTTP answers by route and status class", self.http_requests.clone());
        registry.register("logins", "Passwords by result", self.logins.clone());
        registry.register("admissions", "Decisions at accept, before any cryptography", self.admissions.clone());
        registry.register("half_open", "Connections accepted and not yet authenticated", self.half_open.clone());
        registry.register("sessions_open", "Authenticated connections", self.sessions_open.clone());
        registry.register("handshakes", "Handshakes by result", self.handshakes.clone());
        registry.register("messages", "Messages by type and direction", self.messages.clone());
        registry.register("sessions_truncated", "Connections that ended without a Close", self.sessions_truncated.clone());
        registry.register("alerts", "What an operator wants to look into", self.alerts.clone());
    }

    /// Queues, matches and reports.
    fn register_ladder(&mut self) {
        let registry = &mut self.registry;
        registry.register("queue_waiting", "Queue tickets waiting", self.queue_waiting.clone());
        registry.register("players_waiting", "Players waiting", self.players_waiting.clone());
        registry.register("matches_active", "Matches that are pending, admitted or live", self.matches_active.clone());
        registry.register("matches_ended", "Matches by how they ended", self.matches_ended.clone());
        registry.register_with_unit("match_wait", "From enqueueing to the match", Unit::Seconds, self.match_wait_seconds.clone());
        registry.register("reports", "Match reports by what became of them", self.reports.clone());
        registry.register("proposals_dropped", "Proposals of policies that broke a rule of the pool", self.proposals_dropped.clone());
        registry.register("clamps", "Statistics forced into their bounds", self.clamps.clone());
        registry.register("rating_waiting", "Accepted reports that wait for their rating engine", self.rating_waiting.clone());
    }

    /// Plugins, the store and the matchmaker.
    fn register_inside(&mut self) {
        let registry = &mut self.registry;
        registry.register("plugin_calls", "Calls of plugins", self.plugin_calls.clone());
        registry.register("plugin_faults", "Faults of plugins", self.plugin_faults.clone());
        registry.register("plugin_fuel_share", "Share of the fuel budget of the latest call", self.plugin_fuel_share.clone());
        registry.register(
            "plugin_fuel_share_max",
            "Largest share of the fuel budget since the plugin was loaded",
            self.plugin_fuel_share_max.clone(),
        );
        registry.register("plugin_call_fuel_share", "Share of the fuel budget of calls", self.plugin_call_fuel_share.clone());
        registry.register_with_unit("plugin_call", "Calls of plugins, wall clock", Unit::Seconds, self.plugin_call_seconds.clone());
        registry.register_with_unit(
            "plugin_memory",
            "Most memory and tables of any call since the plugin was loaded",
            Unit::Bytes,
            self.plugin_memory_bytes.clone(),
        );
        registry.register("plugin_log_lines_dropped", "Log lines of plugins that were dropped", self.plugin_log_lines_dropped.clone());
        registry.register("plugin_quarantined", "1 while the fallback runs instead", self.plugin_quarantined.clone());
        registry.register("plugin_swaps", "Plugins exchanged while the host ran, by result", self.plugin_swaps.clone());
        registry.register("shadow_faults", "Reports that shadows could not rate", self.shadow_faults.clone());
        registry.register("store_batch_commands", "Commands that shared one commit", self.store_batch_commands.clone());
        registry.register_with_unit("store_commit", "One commit, sync included", Unit::Seconds, self.store_commit_seconds.clone());
        registry.register_with_unit("tick", "One matchmaker tick", Unit::Seconds, self.tick_seconds.clone());
        registry.register("journal_entries", "Entries of the journal", self.journal_entries.clone());
    }

    /// The OpenMetrics text of this instant.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// What `/metrics` declares itself to be.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incremented_families_show_up_with_their_labels() {
        let metrics = Metrics::new();
        metrics.sessions_open.get_or_create(&ByChannel { channel: Channel::S2s }).inc();
        metrics.match_wait_seconds.get_or_create(&ByQueue::new("duel")).observe(3.0);
        let plugin = PluginLabels { queue: "duel".to_owned(), role: PluginRole::Rating };
        metrics.plugin_call_seconds.get_or_create(&plugin).add([1, 2], 0.000_04);
        metrics.plugin_call_seconds.get_or_create(&plugin).add([0; 15].into_iter().chain([1]), 0.5);
        let text = metrics.render();
        assert!(text.contains("ranked_sessions_open{channel=\"s2s\"} 1"), "{text}");
        assert!(text.contains("ranked_match_wait_seconds_bucket{le=\"4.0\",queue=\"duel\"} 1"), "{text}");
        for line in [
            "ranked_plugin_call_seconds_sum{queue=\"duel\",role=\"rating\"} 0.50004",
            "ranked_plugin_call_seconds_count{queue=\"duel\",role=\"rating\"} 4",
            "ranked_plugin_call_seconds_bucket{le=\"0.00001\",queue=\"duel\",role=\"rating\"} 1",
            "ranked_plugin_call_seconds_bucket{le=\"0.4\",queue=\"duel\",role=\"rating\"} 3",
            "ranked_plugin_call_seconds_bucket{le=\"+Inf\",queue=\"duel\",role=\"rating\"} 4",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn two_hosts_in_one_process_count_apart() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.journal_entries.set(7);
        assert!(other.render().contains("ranked_journal_entries 0"));
    }
}
