//! Headers of responses that a source sets by itself, beside its policies.

use super::account::{Account, Field};
use super::remark::Remark;

/// Says so of a header of CORS, of which `field` says what it is.
pub fn remark_own(field: &Field<'_>, name: &str, account: &mut Account) {
    let name = name.to_ascii_lowercase();
    if name.starts_with("access-control-") {
        account.remark(field, &Remark::OwnHeader { name });
    }
}
