//! What wasmtime's `bindgen!` makes of `wit/v1/ranked.wit`, host side: one module for what every plugin shares, one per role.
//!
//! The worlds are written here and not taken from the contract, because a component is told by its exports and imports, never by the name
//! of a world. Arguments borrow (`..Param<'a>`), answers own: a pool of ten thousand queue tickets crosses without a copy on this side.

/// Shared by every role: the plugin log and the lifecycle.
#[allow(missing_docs, unreachable_pub, dead_code, clippy::all, clippy::unwrap_used)]
pub(crate) mod base {
    wasmtime::component::bindgen!({
        path: "../../wit/v1",
        inline: "
            package ranked:host-base;
            world base { import ranked:plugin/log@1.0.0; export ranked:plugin/lifecycle@1.0.0; }
        ",
        ownership: Borrowing { duplicate_if_necessary: true },
        require_store_data_send: true,
    });
}

/// A rating engine, one contest a call.
#[allow(missing_docs, unreachable_pub, dead_code, clippy::all, clippy::unwrap_used)]
pub(crate) mod rating {
    wasmtime::component::bindgen!({
        path: "../../wit/v1",
        inline: "
            package ranked:host-rating;
            world rating { export ranked:plugin/rating-engine@1.0.0; }
        ",
        ownership: Borrowing { duplicate_if_necessary: true },
        require_store_data_send: true,
    });
}

/// What a rating engine may export beside that: many contests a call.
#[allow(missing_docs, unreachable_pub, dead_code, clippy::all, clippy::unwrap_used)]
pub(crate) mod bulk {
    wasmtime::component::bindgen!({
        path: "../../wit/v1",
        inline: "
            package ranked:host-bulk;
            world bulk { export ranked:plugin/rating-engine-bulk@1.0.0; }
        ",
        ownership: Borrowing { duplicate_if_necessary: true },
        require_store_data_send: true,
    });
}

/// Stat rules.
#[allow(missing_docs, unreachable_pub, dead_code, clippy::all, clippy::unwrap_used)]
pub(crate) mod rules {
    wasmtime::component::bindgen!({
        path: "../../wit/v1",
        inline: "
            package ranked:host-rules;
            world rules { export ranked:plugin/stat-rules@1.0.0; }
        ",
        ownership: Borrowing { duplicate_if_necessary: true },
        require_store_data_send: true,
    });
}

/// A matchmaking policy.
#[allow(missing_docs, unreachable_pub, dead_code, clippy::all, clippy::unwrap_used)]
pub(crate) mod policy {
    wasmtime::component::bindgen!({
        path: "../../wit/v1",
        inline: "
            package ranked:host-policy;
            world policy { export ranked:plugin/matchmaking-policy@1.0.0; }
        ",
        ownership: Borrowing { duplicate_if_necessary: true },
        require_store_data_send: true,
    });
}
