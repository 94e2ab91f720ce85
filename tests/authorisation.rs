//! Who may do what, in two accounts: key policies, delegation, identity policies, grants,
//! conditions, and what whoever may not finds out.
//!
//! What is expected is taken from the AWS KMS Developer Guide, "Key access and permissions", and
//! from recorded answers of the real service, not from the program.

mod support;

#[path = "support/accounts.rs"]
mod accounts;
#[path = "support/requests.rs"]
mod requests;

#[path = "authorisation/across.rs"]
mod across;
#[path = "authorisation/conditions.rs"]
mod conditions;
#[path = "authorisation/grant_ends.rs"]
mod grant_ends;
#[path = "authorisation/grant_requests.rs"]
mod grant_requests;
#[path = "authorisation/grants.rs"]
mod grants;
#[path = "authorisation/grants_of_grants.rs"]
mod grants_of_grants;
#[path = "authorisation/new_policies.rs"]
mod new_policies;
#[path = "authorisation/own_conditions.rs"]
mod own_conditions;
#[path = "authorisation/policies.rs"]
mod policies;
#[path = "authorisation/strangers.rs"]
mod strangers;
