//! What listeners say about their routes: where they are, and whether Envoy's filter
//! is in front of them.

use super::table::Table;
use crate::cli::import::account::Field;

/// The connection manager of a listener.
pub struct Listener<'d> {
    routes: Routes<'d>,
    loaded: Loaded,
}

enum Routes<'d> {
    Here(Field<'d>),
    /// In the route configuration of this name.
    Named(&'d str),
}

/// Whether Envoy's filter is in the chain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loaded {
    No,
    /// It is, for routes that say something in `typed_per_filter_config`.
    Disabled,
    Yes,
}

impl<'d> Listener<'d> {
    pub fn of(manager: &Field<'d>) -> Option<Self> {
        let filters = manager.get("httpFilters")?;
        let here = manager.get("routeConfig").map(Routes::Here);
        let named = || manager.text_at(&["rds", "routeConfigName"]).map(Routes::Named);
        let loaded = filters.elements().filter(is_cors_filter).map(|filter| {
            let disabled = filter.get("disabled").and_then(|field| field.flag());
            if disabled == Some(true) { Loaded::Disabled } else { Loaded::Yes }
        });
        Some(Self { loaded: loaded.max().unwrap_or(Loaded::No), routes: here.or_else(named)? })
    }

    fn serves(&self, table: &Table<'d>) -> bool {
        let mut all = table.configuration.iter().chain(&table.copies);
        match &self.routes {
            Routes::Here(field) => all.any(|of| std::ptr::eq(of.node, field.node)),
            Routes::Named(name) => all.any(|of| of.text_at(&["name"]) == Some(name)),
        }
    }
}

impl Loaded {
    /// In front of a table, by the listeners that there are.
    pub fn before(table: &Table<'_>, listeners: &[&Listener<'_>]) -> Self {
        let serving = listeners.iter().filter(|listener| listener.serves(table));
        serving.map(|listener| listener.loaded).max().unwrap_or(Self::Yes)
    }
}

/// By its type, which may stand inside of what decides when it runs; by its name
/// only where there is no type.
fn is_cors_filter(filter: &Field<'_>) -> bool {
    let Some(typed) = filter.get("typedConfig") else {
        return filter.text_at(&["name"]).is_some_and(|name| name.ends_with("cors"));
    };
    let mut is_cors = false;
    typed.node.walk(&mut |node| {
        let is_type = |name: &str| node.text_at(&[name]).is_some_and(|url| url.ends_with(".Cors"));
        is_cors |= is_type("@type") || is_type("typeUrl");
    });
    is_cors
}
