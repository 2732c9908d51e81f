//! Pages on the wire: as many items as fit into one message.

use prost::Message;

use crate::service::{Page, Service};

/// How large the items of a page may be together, in bytes. Leaves room below the 1 MiB that clients read for the page
/// token and the framing.
const MAX_PAGE: usize = (1 << 20) - 4096;

/// Renders the items of a page, ending it early where the message would grow too large, and the token of the next page.
pub(super) fn render<T, M: Message>(
    service: &Service,
    page: Page<T>,
    cursor: impl Fn(&T) -> String,
    render: impl Fn(&T) -> M,
) -> (Vec<M>, String) {
    let mut rendered = Vec::with_capacity(page.items.len());
    let mut size = 0;
    let mut last = None;
    let mut has_more = page.has_more;
    for item in &page.items {
        let message = render(item);
        // A repeated message field costs its tag and its length besides.
        size += message.encoded_len() + 6;
        if size > MAX_PAGE && last.is_some() {
            has_more = true;
            break;
        }
        rendered.push(message);
        last = Some(item);
    }
    let token = match last {
        Some(last) if has_more => service.page_token(&page.filter, &cursor(last)),
        _ => String::new(),
    };
    (rendered, token)
}
