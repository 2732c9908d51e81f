//! Tokens of issuers beside certificates: one that names a caller is a credential, one that does not is for the transport.

use tonic::Code;

use super::{BOOKINGS_ID, OTHER_ID, World, call, patiently};
use crate::support::{
    call::credentials,
    issuer::{SigningKey, TestIssuer},
    status::assert_status,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_beside_a_certificate_that_names_nobody_and_beside_no_other() {
    let key = SigningKey::p256("one");
    let issuer = TestIssuer::start(&[&key], None).await;
    let name = issuer.name();
    let world = World::start(&format!(
        "[[callers]]\nname = \"reader\"\nsubjects = [{{issuer = \"{name}\", subject = \"reader\"}}]\n\
         grants = [\"directory.read\"]\n\
         [[issuers]]\nissuer = \"{name}\"\naudience = \"us\"\n"
    ));
    let token = format!("Bearer {}", key.token(&issuer.claims("us", "reader")));
    let shown = credentials(&[("authorization", &token)]);
    let transport = world.workload(OTHER_ID).await;
    call(&transport, &shown)
        .await
        .expect("it is for the transport");
    let named = world.workload(BOOKINGS_ID).await;
    let refused = patiently(&named, &shown).await.expect_err("there are two");
    assert_status(
        &refused,
        Code::Unauthenticated,
        "CREDENTIAL_AMBIGUOUS",
        None,
    );
}
