//! What a service could get wrong, planted in the model: the steps that the tests take must bring each of them to light.

/// One such fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    PolicyIsIgnored,
    PolicyFreesPlaces,
    PoliciesSurviveDeletion,
    DefaultLifetimeIsIgnored,
    ExpiryIsAMillisecondLate,
    OverlapIsLonger,
    OverlapOutlivesExpiry,
    RotatedTokensHavePlaces,
    RotatedTokensRotateAgain,
    SuccessorsLoseTheirScopes,
    OneMoreThanTheCap,
    ReplaysTellTheSecret,
    RequestsAreRememberedForTwoDays,
    ExpiredTokensAreNotRevoked,
    OverseersSeeEverywhere,
    SyncLiftsSuspensions,
    MembersReturnWithTheirWorkspace,
    TokensReturnWithTheirMember,
    NetworksAreIgnored,
}

pub(super) const FLAWS: [Flaw; 19] = [
    Flaw::PolicyIsIgnored,
    Flaw::PolicyFreesPlaces,
    Flaw::PoliciesSurviveDeletion,
    Flaw::DefaultLifetimeIsIgnored,
    Flaw::ExpiryIsAMillisecondLate,
    Flaw::OverlapIsLonger,
    Flaw::OverlapOutlivesExpiry,
    Flaw::RotatedTokensHavePlaces,
    Flaw::RotatedTokensRotateAgain,
    Flaw::SuccessorsLoseTheirScopes,
    Flaw::OneMoreThanTheCap,
    Flaw::ReplaysTellTheSecret,
    Flaw::RequestsAreRememberedForTwoDays,
    Flaw::ExpiredTokensAreNotRevoked,
    Flaw::OverseersSeeEverywhere,
    Flaw::SyncLiftsSuspensions,
    Flaw::MembersReturnWithTheirWorkspace,
    Flaw::TokensReturnWithTheirMember,
    Flaw::NetworksAreIgnored,
];
