//! What is expected of decisions: the reasons in the order in which they count, and the default policy as a table.

use countersign::pb::{BatchMode, DenyReason, MemberState, Outcome, Reach, WorkspaceState};

use super::{
    flaws::Flaw,
    model::{Model, Token},
    steps::{Answer, Ask, Context, Decision, Owner, Principal, Secret},
};

/// Every action, with how far a member and an admin may do it.
#[rustfmt::skip]
const POLICY: [(&str, Reach, Reach); 21] = {
    use Reach::{Own, Unspecified as No, Workspace as All};
    [
        ("appointments.delete", Own, All),
        ("appointments.list", Own, All),
        ("appointments.read", Own, All),
        ("appointments.update", Own, All),
        ("availability.create", Own, Own),
        ("availability.delete", Own, All),
        ("availability.list", Own, All),
        ("availability.read", Own, All),
        ("availability.update", Own, All),
        ("bookings.create", Own, Own),
        ("bookings.delete", Own, All),
        ("bookings.list", Own, All),
        ("bookings.read", Own, All),
        ("bookings.update", Own, All),
        ("meeting-types.create", Own, Own),
        ("meeting-types.delete", Own, All),
        ("meeting-types.list", Own, All),
        ("meeting-types.read", Own, All),
        ("meeting-types.update", Own, All),
        ("users.list", No, All),
        ("users.read", No, All),
    ]
};

/// The networks that tokens are limited to, and the addresses that are in them.
const NETWORKS: [(&str, &[&str]); 2] = [
    ("192.0.2.0/24", &["192.0.2.9", "::ffff:192.0.2.9"]),
    ("2001:db8::/32", &["2001:db8::1"]),
];

/// The addresses that bearers ask from.
pub(super) const ADDRESSES: [&str; 6] = [
    "",
    "192.0.2.9",
    "::ffff:192.0.2.9",
    "2001:db8::1",
    "192.0.3.9",
    "2001:db9::1",
];

/// Whether a pattern covers an action.
fn covers(pattern: &str, action: &str) -> bool {
    let words = |text| str::split_once(text, '.').expect("an action");
    let ((types, verbs), (of_type, verb)) = (words(pattern), words(action));
    (types == "*" || types == of_type) && (verbs == "*" || verbs == verb)
}

impl Model {
    pub(super) fn authorize(&self, secret: Secret, ask: Ask, context: Context) -> Answer {
        let decision = self.decide(secret, ask, context);
        let principal = self.principal(secret, decision.reason);
        Answer::Decided(vec![decision], principal)
    }

    pub(super) fn batch(
        &self,
        secret: Secret,
        asks: &[Ask],
        mode: BatchMode,
        context: Context,
    ) -> Answer {
        let stop = match mode {
            BatchMode::StopAtFirstDeny => Some(Outcome::Deny),
            BatchMode::StopAtFirstAllow => Some(Outcome::Allow),
            _ => None,
        };
        let mut decisions: Vec<Decision> = Vec::new();
        for ask in asks {
            let is_stopped = decisions.last().is_some_and(|last| {
                last.outcome == Outcome::NotEvaluated || Some(last.outcome) == stop
            });
            decisions.push(match is_stopped {
                true => Decision {
                    outcome: Outcome::NotEvaluated,
                    reason: DenyReason::Unspecified,
                    reach: Reach::Unspecified,
                },
                false => self.decide(secret, *ask, context),
            });
        }
        let principal = self.principal(secret, decisions[0].reason);
        Answer::Decided(decisions, principal)
    }

    pub(super) fn permissions(&self, secret: Secret, context: Context) -> Answer {
        let token = match self.authenticate(secret, context) {
            Ok(token) => token,
            Err(reason) => {
                return Answer::Permitted(reason, self.principal(secret, reason), Vec::new());
            }
        };
        let reaches = POLICY
            .iter()
            .map(|(action, ..)| (*action, self.reach(token, action)));
        let permitted = reaches.filter(|(action, reach)| {
            *reach != Reach::Unspecified && self.has_scope(token, action)
        });
        let permitted = permitted.map(|(action, reach)| (action.to_owned(), reach));
        let reason = DenyReason::Unspecified;
        Answer::Permitted(reason, self.principal(secret, reason), permitted.collect())
    }

    fn decide(&self, secret: Secret, ask: Ask, context: Context) -> Decision {
        let decided = self.authenticate(secret, context);
        match decided.and_then(|token| self.permit(token, ask)) {
            Ok(reach) => Decision {
                outcome: Outcome::Allow,
                reason: DenyReason::Unspecified,
                reach,
            },
            Err(reason) => Decision {
                outcome: Outcome::Deny,
                reason,
                reach: Reach::Unspecified,
            },
        }
    }

    /// The token, if it is good, and asked with as it may be.
    fn authenticate(&self, secret: Secret, context: Context) -> Result<&Token, DenyReason> {
        let token = match secret {
            Secret::Malformed => return Err(DenyReason::MalformedToken),
            Secret::Unknown => return Err(DenyReason::UnknownToken),
            Secret::Of(number) => &self.tokens[number],
        };
        let workspace = self.workspaces[&token.member.workspace].state;
        let member = self.members[&token.member].state;
        if workspace == WorkspaceState::Deleted {
            return Err(DenyReason::WorkspaceDeleted);
        }
        if member == MemberState::Removed {
            return Err(DenyReason::MemberRemoved);
        }
        if token.end.is_some() {
            return Err(DenyReason::RevokedToken);
        }
        if self.has_ended(token, &self.policy_of(token)) {
            return Err(DenyReason::ExpiredToken);
        }
        if workspace == WorkspaceState::Suspended {
            return Err(DenyReason::WorkspaceSuspended);
        }
        if member == MemberState::Suspended {
            return Err(DenyReason::MemberSuspended);
        }
        let is_within = |network: &&str| {
            let known = NETWORKS.iter().find(|(known, _)| known == network);
            known.expect("a network").1.contains(&context.client_ip)
        };
        let is_limited = !token.networks.is_empty() && !self.has(Flaw::NetworksAreIgnored);
        if is_limited && !token.networks.iter().any(is_within) {
            return Err(DenyReason::AddressNotAllowed);
        }
        match context.on_behalf_of {
            Some(other) if other != token.member.member => Err(DenyReason::Impersonation),
            _ => Ok(token),
        }
    }

    /// How far the bearer of a good token may do this.
    fn permit(&self, token: &Token, ask: Ask) -> Result<Reach, DenyReason> {
        let action = ask.action;
        let is_declared = POLICY.iter().any(|(declared, ..)| *declared == action);
        let is_above = ["tokens.", "members."]
            .iter()
            .any(|of| action.starts_with(of))
            || action.starts_with("users.") && !is_declared;
        if is_above {
            return Err(DenyReason::AboveTokenCeiling);
        }
        if !is_declared {
            return Err(DenyReason::UnknownAction);
        }
        if ask
            .workspace
            .is_some_and(|asked| asked != token.member.workspace)
        {
            return Err(DenyReason::WrongWorkspace);
        }
        if !self.has_scope(token, action) {
            return Err(DenyReason::OutOfScope);
        }
        let reach = self.reach(token, action);
        if reach == Reach::Unspecified {
            return Err(DenyReason::RoleNotPermitted);
        }
        let is_near = match ask.owner {
            Owner::Bearer => true,
            Owner::Member(owner) => owner == token.member.member || reach == Reach::Workspace,
            Owner::Nobody => reach == Reach::Workspace,
            Owner::Collection => action.ends_with(".list"),
        };
        match is_near {
            true => Ok(reach),
            false => Err(DenyReason::NotOwner),
        }
    }

    fn has_scope(&self, token: &Token, action: &str) -> bool {
        let mut scopes = token.scopes.iter();
        token.scopes.is_empty() || scopes.any(|scope| covers(scope, action))
    }

    /// How far the role of the token's member reaches, as it is now.
    fn reach(&self, token: &Token, action: &str) -> Reach {
        let rule = POLICY.iter().find(|(declared, ..)| *declared == action);
        let (_, member, admin) = rule.expect("a declared action");
        match self.members[&token.member].role.as_str() {
            "admin" => *admin,
            _ => *member,
        }
    }

    /// Whose token it is, if the reason is none that says that it is no good.
    fn principal(&self, secret: Secret, reason: DenyReason) -> Option<Principal> {
        let hides = [
            DenyReason::MalformedToken,
            DenyReason::UnknownToken,
            DenyReason::WorkspaceDeleted,
            DenyReason::MemberRemoved,
            DenyReason::RevokedToken,
            DenyReason::ExpiredToken,
        ];
        let Secret::Of(number) = secret else {
            return None;
        };
        let token = &self.tokens[number];
        (!hides.contains(&reason)).then(|| Principal {
            key: token.member,
            role: self.members[&token.member].role.clone(),
            token: number,
            token_name: token.name.clone(),
            scopes: token.scopes.iter().map(|&scope| scope.to_owned()).collect(),
            expires_at: token.expires_at,
        })
    }
}
