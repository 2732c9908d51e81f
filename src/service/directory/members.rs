//! Changing members.

use super::{check_etag, workspace_not_found};
use crate::{
    domain::{
        directory::{Member, MemberState, WorkspaceState},
        error::{Error, Problem, ProblemReason},
        event::{Details, NewEvent},
        ids::{MemberKey, Revision, RoleName},
        shared::Mark,
        token::Origin,
    },
    service::{Service, member_not_found},
    store::{Abort, Change, Mutation, Tx},
};

/// A change of a member.
pub struct MemberCommand {
    /// On whose behalf.
    pub origin: Origin,
    /// Which.
    pub member: MemberKey,
    /// What to do.
    pub change: MemberChange,
    /// Only in this version of the record; empty for any.
    pub etag: String,
}

/// What to do to a member.
pub enum MemberChange {
    /// Make it exist with this role, which [`Service::parse_role`] took.
    Put(RoleName),
    /// Give it this role, which [`Service::parse_role`] took.
    SetRole(RoleName),
    /// Put it into this state.
    SetState(MemberState),
    /// Remove it.
    Remove,
}

impl Service {
    /// Takes the name of a role of the running policy.
    pub fn parse_role(&self, text: &str) -> Result<RoleName, Problem> {
        let role = RoleName::parse(text)?;
        if !self.rules().policy.has_role(role.as_str()) {
            let problem = Problem::new(
                ProblemReason::RoleUnknown,
                format!("`{role}` is not a role of the policy"),
            );
            return Err(problem.with("role", role));
        }
        Ok(role)
    }

    /// Changes a member and answers it as it is then.
    pub async fn change_member(&self, command: MemberCommand) -> Result<(Member, Revision), Error> {
        let done = self.mutate(command).await?;
        Ok((done.output, done.revision))
    }
}

impl Mutation for MemberCommand {
    type Output = Member;

    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn run(&self, tx: &Tx) -> Result<Change<Member>, Abort> {
        let key = &self.member;
        let workspace = tx.share_workspace(&key.workspace_id).await?;
        let found = tx.lock_member(key).await?;
        let Some(workspace) = workspace else {
            return Err(match self.change {
                MemberChange::Put(_) => workspace_not_found(&key.workspace_id),
                _ => member_not_found(key),
            }
            .into());
        };
        if found.is_none() && !matches!(self.change, MemberChange::Put(_)) {
            return Err(member_not_found(key).into());
        }
        check_etag(&self.etag, found.as_ref().map(|member| member.version))?;
        let is_removal = matches!(self.change, MemberChange::Remove);
        if workspace.state == WorkspaceState::Deleted && !is_removal {
            return Err(Error::WorkspaceDeleted {
                workspace_id: key.workspace_id.to_string(),
            }
            .into());
        }
        match (&self.change, found) {
            (MemberChange::Put(role), None) => self.create(tx, role).await,
            (MemberChange::Put(role), Some(member)) if member.state == MemberState::Removed => {
                self.bring_back(tx, member, role).await
            }
            (MemberChange::Put(role) | MemberChange::SetRole(role), Some(member)) => {
                self.set_role(tx, member, role).await
            }
            (MemberChange::SetState(state), Some(member)) => {
                self.set_state(tx, member, *state).await
            }
            (MemberChange::Remove, Some(member)) => self.remove(tx, member).await,
            (_, None) => Err(member_not_found(key).into()),
        }
    }
}

impl MemberCommand {
    async fn create(&self, tx: &Tx, role: &RoleName) -> Result<Change<Member>, Abort> {
        let member = Member {
            workspace_id: self.member.workspace_id.clone(),
            member_id: self.member.member_id.clone(),
            role: role.clone(),
            state: MemberState::Active,
            generation: 1,
            version: 1,
            created_at: tx.now(),
            updated_at: tx.now(),
            is_outdated: Mark::default(),
        };
        tx.insert_member(&member).await?;
        let details = Details::MemberAdded {
            role: role.to_string(),
            returned: false,
        };
        Ok(self.made(member, details))
    }

    async fn bring_back(
        &self,
        tx: &Tx,
        mut member: Member,
        role: &RoleName,
    ) -> Result<Change<Member>, Abort> {
        member.state = MemberState::Active;
        member.role = role.clone();
        self.raise_generation(tx, &mut member, "the member was added anew")
            .await?;
        let details = Details::MemberAdded {
            role: role.to_string(),
            returned: true,
        };
        self.write(tx, member, details).await
    }

    async fn set_role(
        &self,
        tx: &Tx,
        mut member: Member,
        role: &RoleName,
    ) -> Result<Change<Member>, Abort> {
        self.refuse_removed(&member)?;
        if member.role == *role {
            return Ok(Change::none(member));
        }
        let details = Details::MemberRoleChanged {
            from_role: member.role.to_string(),
            to_role: role.to_string(),
        };
        member.role = role.clone();
        self.write(tx, member, details).await
    }

    async fn set_state(
        &self,
        tx: &Tx,
        mut member: Member,
        state: MemberState,
    ) -> Result<Change<Member>, Abort> {
        self.refuse_removed(&member)?;
        if member.state == state {
            return Ok(Change::none(member));
        }
        let details = Details::MemberStateChanged {
            state: state.as_str().to_owned(),
        };
        member.state = state;
        self.write(tx, member, details).await
    }

    async fn remove(&self, tx: &Tx, mut member: Member) -> Result<Change<Member>, Abort> {
        if member.state == MemberState::Removed {
            return Ok(Change::none(member));
        }
        member.state = MemberState::Removed;
        self.raise_generation(tx, &mut member, "the member was removed")
            .await?;
        self.write(tx, member, Details::MemberRemoved {}).await
    }

    fn refuse_removed(&self, member: &Member) -> Result<(), Error> {
        match member.state {
            MemberState::Removed => Err(Error::MemberRemoved {
                member_id: self.member.member_id.to_string(),
            }),
            MemberState::Active | MemberState::Suspended => Ok(()),
        }
    }

    /// Ends every token of the member.
    async fn raise_generation(
        &self,
        tx: &Tx,
        member: &mut Member,
        reason: &str,
    ) -> Result<(), Abort> {
        member.generation += 1;
        tx.insert_revocation(
            &self.member.workspace_id,
            Some(&self.member.member_id),
            member.generation,
            &self.origin,
            reason,
        )
        .await
    }

    async fn write(
        &self,
        tx: &Tx,
        mut member: Member,
        details: Details,
    ) -> Result<Change<Member>, Abort> {
        member.version += 1;
        member.updated_at = tx.now();
        tx.update_member(&member).await?;
        Ok(self.made(member, details))
    }

    fn made(&self, member: Member, details: Details) -> Change<Member> {
        let event = NewEvent {
            workspace_id: self.member.workspace_id.to_string(),
            member_id: Some(self.member.member_id.to_string()),
            token_id: None,
            details,
        };
        Change::made(member, event)
    }
}
