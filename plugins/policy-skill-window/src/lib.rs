//! A built-in plugin of RankedServer.
