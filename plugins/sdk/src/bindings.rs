//! What `wit-bindgen` makes of `wit/v1/ranked.wit`: one module for what every plugin shares, one per role.
//!
//! Authors never name anything in here. The module is public because the export macros expand in the author's crate and
//! have to reach it; nothing in it is part of the promise of this crate.
//!
//! The worlds are written here and not taken from the contract, because a component is told by its exports and imports,
//! never by the name of a world. What an exported component does not call (`forecast`), it does not import.

/// Shared by every role: the plugin log and the lifecycle.
#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::unwrap_used)]
pub mod base {
    wit_bindgen::generate!({
        path: "../../wit/v1",
        inline: "
            package ranked:sdk-base;
            world base { import ranked:plugin/log@1.0.0; export ranked:plugin/lifecycle@1.0.0; }
        ",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_base",
        default_bindings_module: "plugin_sdk::bindings::base",
    });
}

/// A rating engine, bulk interface included.
#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::unwrap_used)]
pub mod rating {
    wit_bindgen::generate!({
        path: "../../wit/v1",
        inline: "
            package ranked:sdk-rating;
            world rating { export ranked:plugin/rating-engine@1.0.0; export ranked:plugin/rating-engine-bulk@1.0.0; }
        ",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_rating",
        default_bindings_module: "plugin_sdk::bindings::rating",
    });

    /// Everything that the role exports.
    pub trait Role: exports::ranked::plugin::rating_engine::Guest + exports::ranked::plugin::rating_engine_bulk::Guest {}
    impl<T: exports::ranked::plugin::rating_engine::Guest + exports::ranked::plugin::rating_engine_bulk::Guest> Role for T {}
}

/// Stat rules.
#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::unwrap_used)]
pub mod rules {
    wit_bindgen::generate!({
        path: "../../wit/v1",
        inline: "
            package ranked:sdk-rules;
            world rules { export ranked:plugin/stat-rules@1.0.0; }
        ",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_rules",
        default_bindings_module: "plugin_sdk::bindings::rules",
    });

    /// Everything that the role exports.
    pub trait Role: exports::ranked::plugin::stat_rules::Guest {}
    impl<T: exports::ranked::plugin::stat_rules::Guest> Role for T {}
}

/// A matchmaking policy and the forecasts it may ask for.
#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::unwrap_used)]
pub mod policy {
    wit_bindgen::generate!({
        path: "../../wit/v1",
        inline: "
            package ranked:sdk-policy;
            world policy { import ranked:plugin/forecast@1.0.0; export ranked:plugin/matchmaking-policy@1.0.0; }
        ",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_policy",
        default_bindings_module: "plugin_sdk::bindings::policy",
    });

    /// Everything that the role exports.
    pub trait Role: exports::ranked::plugin::matchmaking_policy::Guest {}
    impl<T: exports::ranked::plugin::matchmaking_policy::Guest> Role for T {}
}
