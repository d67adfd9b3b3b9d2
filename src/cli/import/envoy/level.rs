//! What each level of a route table says.

use super::policy::{is_wrapper, policy};
use crate::cli::import::account::{Account, Field};
use crate::cli::import::cors::Cors;
use crate::cli::import::headers;
use crate::cli::import::remark::Remark;

/// What a level says about the filter.
#[derive(Clone)]
pub enum Level<'d> {
    /// The filter does not run.
    Disabled,
    /// It runs, with what other levels say.
    Enabled,
    Policy(Field<'d>),
}

/// What the `typed_per_filter_config` of a route, or of what is around it, says
/// about a filter of that name.
pub fn level<'d>(of: &Field<'d>, filter: &str, account: &mut Account) -> Option<Level<'d>> {
    let mut level = None;
    for (name, any) in of.get("typedPerFilterConfig")?.entries() {
        let policy = policy(&any);
        if name != filter {
            if policy.is_some() {
                account.remark(&any, &Remark::OtherFilter { name: filter.to_owned() });
            }
            continue;
        }
        let is_wrapped = any.text_at(&["@type"]).is_some_and(is_wrapper);
        let disabled = any.get("disabled").filter(|_| is_wrapped);
        let is_disabled = disabled.as_ref().is_some_and(|field| field.flag() == Some(true));
        disabled.inspect(|field| account.carry(field));
        level = match policy {
            Some(policy) if is_disabled => {
                account.remark(&policy, &Remark::Ignored { why: "disabled is set beside it" });
                Some(Level::Disabled)
            }
            Some(policy) => Some(Level::Policy(policy)),
            None if is_disabled => Some(Level::Disabled),
            None if is_wrapped => Some(Level::Enabled),
            None => {
                account.close(&any);
                None
            }
        };
    }
    level
}

/// Whether the filter changes answers.
pub fn is_in_force(cors: Option<&Cors>) -> bool {
    cors.is_some_and(|cors| cors.mode.is_none())
}

/// Says which headers of CORS a route, or what is around it, sets beside policies.
pub fn own_headers(of: &Field<'_>, account: &mut Account) {
    for header in of.list("responseHeadersToAdd") {
        let key = header.at(&["header", "key"]);
        let Some((field, name)) = key.as_ref().and_then(|key| Some((key, key.text()?))) else {
            continue;
        };
        headers::remark_own(field, name, account);
    }
}
