//! Lists that come in pages.

use clap::Args;

use super::Failure;

/// How much of a list to ask for.
#[derive(Debug, Args)]
pub(super) struct Paging {
    /// At most this many at once, up to 500 [default: 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=500))]
    page_size: Option<i32>,

    /// Go on where an earlier answer ended, by its next_page_token
    #[arg(
        long,
        value_name = "TOKEN",
        conflicts_with = "all",
        allow_hyphen_values = true
    )]
    page_token: Option<String>,

    /// Everything, however many pages it takes
    #[arg(long)]
    all: bool,
}

impl Paging {
    /// As a request takes it.
    pub(super) fn page_size(&self) -> i32 {
        self.page_size.unwrap_or_default()
    }

    /// The items of the page that was asked for, or of all, and the token of the next. `ask` brings the page that a token
    /// stands for.
    pub(super) async fn gather<T>(
        &self,
        mut ask: impl AsyncFnMut(String) -> Result<(Vec<T>, String), Failure>,
    ) -> Result<(Vec<T>, String), Failure> {
        let token = self.page_token.clone().unwrap_or_default();
        let (mut items, mut next_page_token) = ask(token).await?;
        while self.all && !next_page_token.is_empty() {
            let (more, next) = ask(next_page_token).await?;
            items.extend(more);
            next_page_token = next;
        }
        Ok((items, next_page_token))
    }
}

/// What to say below a table that is not the end.
pub(super) fn more(next_page_token: &str) -> String {
    match next_page_token {
        "" => String::new(),
        token => format!("\nThere are more: add --all, or --page-token {token}\n"),
    }
}
