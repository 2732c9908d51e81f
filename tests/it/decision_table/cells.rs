//! The cells: the product of everything that a decision depends on, less what cannot be asked and what tells nothing.

use std::{fmt, sync::Arc};

use countersign::domain::{
    action::Action,
    address::{Cidr, ClientIp},
    decide::{Ask, Bearer, Circumstances, Owner, Presented},
    directory::{Member, MemberState, Workspace, WorkspaceState},
    ids::{CallerName, MemberId, MemberKey, RoleName, TokenId, WorkspaceId},
    scope::Scope,
    secret::Hint,
    shared::Mark,
    time::Timestamp,
    token::{Extras, LastUse, Limits, Origin, Revocation, Token},
    token_policy::TokenPolicy,
};

/// One thing that a decision depends on.
pub(super) struct Dimension {
    /// The table's column.
    pub(super) name: &'static str,
    /// From what stands least in the way of an allow to what stands most.
    pub(super) values: &'static [&'static str],
}

/// In the order of the table's columns, which is roughly that of the reasons.
pub(super) const DIMENSIONS: [Dimension; 10] = [
    Dimension {
        name: "token",
        values: &[
            "live",
            "expired",
            "revoked",
            "revoked-by-member-generation",
            "revoked-by-workspace-generation",
            "unknown",
            "malformed",
        ],
    },
    Dimension {
        name: "workspace_state",
        values: &["active", "suspended", "deleted"],
    },
    Dimension {
        name: "member_state",
        values: &["active", "suspended", "removed"],
    },
    Dimension {
        name: "address",
        values: &["any", "inside", "unnamed", "outside"],
    },
    Dimension {
        name: "on_behalf_of",
        values: &["none", "self", "other"],
    },
    Dimension {
        name: "action",
        values: &[
            "meeting-types.list",
            "meeting-types.read",
            "meeting-types.create",
            "meeting-types.update",
            "meeting-types.delete",
            "availability.list",
            "availability.read",
            "availability.create",
            "availability.update",
            "availability.delete",
            "bookings.list",
            "bookings.read",
            "bookings.create",
            "bookings.update",
            "bookings.delete",
            "appointments.list",
            "appointments.read",
            "appointments.update",
            "appointments.delete",
            "users.list",
            "users.read",
            // Declared by nobody.
            "bookings.approve",
            "appointments.create",
            "invoices.read",
            // Above the ceiling.
            "users.create",
            "users.update",
            "users.delete",
            "users.invite",
            "members.create",
            "members.list",
            "tokens.issue",
            "tokens.list",
        ],
    },
    Dimension {
        name: "workspace",
        values: &["own", "empty", "other"],
    },
    Dimension {
        name: "scopes",
        values: &["all", "covering", "other"],
    },
    Dimension {
        name: "role",
        values: &["admin", "member", "ghost"],
    },
    Dimension {
        name: "owner",
        values: &["own", "bearer", "collection", "other", "none"],
    },
];

/// The instant of every decision.
pub(super) const NOW: Timestamp = Timestamp(1_000_000);
const WORKSPACE: &str = "acme";
const OTHER_WORKSPACE: &str = "globex";
/// The bearer.
pub(super) const MEMBER: &str = "ada";
/// Somebody else in the same workspace.
pub(super) const OTHER_MEMBER: &str = "max";

/// A value for each dimension, by its place.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    pub(super) indexes: [u8; DIMENSIONS.len()],
}

/// Every cell there is, the last dimension moving fastest.
pub(super) fn all() -> impl Iterator<Item = Cell> {
    let total: usize = DIMENSIONS
        .iter()
        .map(|dimension| dimension.values.len())
        .product();
    (0..total)
        .map(|mut number| {
            let mut indexes = [0; DIMENSIONS.len()];
            for (index, dimension) in indexes.iter_mut().zip(&DIMENSIONS).rev() {
                *index = u8::try_from(number % dimension.values.len()).expect("few values");
                number /= dimension.values.len();
            }
            Cell { indexes }
        })
        .filter(|cell| cell.is_limited_to_the_point() && cell.can_be_asked())
}

impl Cell {
    /// The value of the dimension with this name.
    pub(super) fn value(&self, name: &str) -> &'static str {
        DIMENSIONS
            .iter()
            .zip(self.indexes)
            .find(|(dimension, _)| dimension.name == name)
            .map(|(dimension, index)| dimension.values[usize::from(index)])
            .expect("a dimension")
    }

    /// Without a workspace only the bearer's own and listings can be asked for: anything else is an invalid argument.
    fn can_be_asked(&self) -> bool {
        self.value("workspace") != "empty" || matches!(self.value("owner"), "bearer" | "collection")
    }

    /// What is no token is limited to nothing. Where something else that is looked at before stands in the way, no limits
    /// and those that stand in it most are enough: what is between them would only take time.
    fn is_limited_to_the_point(&self) -> bool {
        let limits = (self.value("address"), self.value("scopes"));
        let states = (self.value("workspace_state"), self.value("member_state"));
        match self.value("token") {
            "malformed" | "unknown" => limits == ("any", "all"),
            "live" if states == ("active", "active") => true,
            _ => matches!(limits, ("any", "all") | ("outside", "other")),
        }
    }

    /// The scopes of the token.
    pub(super) fn scopes(&self) -> Vec<String> {
        let action = self.value("action");
        let (resource_type, verb) = action.split_once('.').expect("an action has two words");
        let other = match action {
            "bookings.read" => "bookings.list",
            _ => "bookings.read",
        };
        // What covers it is not the first, and a pattern wherever the action itself could not be a scope.
        let covering = match verb {
            "read" if resource_type == "bookings" => action.to_owned(),
            "list" | "read" | "create" | "update" | "delete" => format!("*.{verb}"),
            _ => format!("{resource_type}.*"),
        };
        match self.value("scopes") {
            "covering" => vec![other.to_owned(), covering],
            "other" => vec![other.to_owned()],
            _ => Vec::new(),
        }
    }

    /// The networks that the token is limited to.
    pub(super) fn allowed_cidrs(&self) -> Vec<String> {
        match self.value("address") {
            "any" => Vec::new(),
            _ => vec!["2001:db8::/32".to_owned(), "192.0.2.0/24".to_owned()],
        }
    }

    /// The address that the request is said to come from. Where any will do, it is outside of the others' networks.
    pub(super) fn client_ip(&self) -> &'static str {
        match self.value("address") {
            "unnamed" => "",
            "inside" => "::ffff:192.0.2.255",
            _ => "192.0.3.0",
        }
    }

    /// What was presented, built by hand.
    pub(super) fn presented(&self) -> Presented {
        let token = self.value("token");
        match token {
            "malformed" => return Presented::Malformed,
            "unknown" => return Presented::Unknown,
            _ => {}
        }
        let workspace_id = workspace_id(WORKSPACE);
        let member_id = member_id(MEMBER);
        let workspace_state = match self.value("workspace_state") {
            "active" => WorkspaceState::Active,
            "suspended" => WorkspaceState::Suspended,
            _ => WorkspaceState::Deleted,
        };
        let member_state = match self.value("member_state") {
            "active" => MemberState::Active,
            "suspended" => MemberState::Suspended,
            _ => MemberState::Removed,
        };
        let revocation = || Revocation {
            at: NOW,
            by: Origin {
                caller: CallerName::parse("platform").expect("a name"),
                actor: None,
            },
            reason: String::new(),
        };
        Presented::Known(Bearer {
            token: Arc::new(Token {
                token_id: TokenId::parse("tok_1").expect("an id"),
                member: MemberKey {
                    workspace_id: workspace_id.clone(),
                    member_id: member_id.clone(),
                },
                workspace_generation: 3 - i64::from(token == "revoked-by-workspace-generation"),
                member_generation: 5 - i64::from(token == "revoked-by-member-generation"),
                name: "laptop".into(),
                hint: Hint::parse("0000").expect("a hint"),
                created_at: Timestamp(0),
                expires_at: (token == "expired").then_some(NOW),
                last_use: LastUse::issued(Timestamp(0)),
                extras: Extras::from(self.limits()).boxed(),
                revoked: (token == "revoked").then(|| Box::new(revocation())),
                awaits_record: Mark::default(),
            }),
            member: Arc::new(Member {
                workspace_id: workspace_id.clone(),
                member_id,
                role: RoleName::parse(self.value("role")).expect("a role"),
                state: member_state,
                generation: 5,
                version: 1,
                created_at: Timestamp(0),
                updated_at: Timestamp(0),
                is_outdated: Mark::default(),
            }),
            workspace: Arc::new(Workspace {
                workspace_id,
                name: WORKSPACE.to_owned(),
                state: workspace_state,
                token_policy: TokenPolicy::default(),
                generation: 3,
                version: 1,
                created_at: Timestamp(0),
                updated_at: Timestamp(0),
                is_outdated: Mark::default(),
            }),
        })
    }

    fn limits(&self) -> Limits {
        let (scopes, cidrs) = (self.scopes(), self.allowed_cidrs());
        let scopes = scopes.iter().map(|text| Scope::parse(text));
        let cidrs = cidrs.iter().map(|text| Cidr::parse(text));
        Limits {
            scopes: scopes.collect::<Result<_, _>>().expect("scopes"),
            allowed_cidrs: cidrs.collect::<Result<_, _>>().expect("networks"),
        }
    }

    /// What is asked for.
    pub(super) fn ask(&self) -> Ask {
        Ask {
            action: Action::parse(self.value("action")).expect("an action"),
            workspace_id: match self.value("workspace") {
                "own" => Some(workspace_id(WORKSPACE)),
                "other" => Some(workspace_id(OTHER_WORKSPACE)),
                _ => None,
            },
            owner: match self.value("owner") {
                "own" => Owner::Member(member_id(MEMBER)),
                "other" => Owner::Member(member_id(OTHER_MEMBER)),
                "bearer" => Owner::Bearer,
                "collection" => Owner::Collection,
                _ => Owner::Nobody,
            },
            circumstances: Circumstances {
                on_behalf_of: match self.value("on_behalf_of") {
                    "self" => Some(MEMBER.into()),
                    "other" => Some(OTHER_MEMBER.into()),
                    _ => None,
                },
                client_ip: match self.client_ip() {
                    "" => None,
                    ip => Some(ClientIp::parse(ip).expect("an address")),
                },
            },
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (dimension, index) in DIMENSIONS.iter().zip(self.indexes) {
            write!(
                f,
                "{}={} ",
                dimension.name,
                dimension.values[usize::from(index)]
            )?;
        }
        Ok(())
    }
}

fn workspace_id(text: &str) -> WorkspaceId {
    WorkspaceId::parse(text).expect("an id")
}

fn member_id(text: &str) -> MemberId {
    MemberId::parse(text).expect("an id")
}
