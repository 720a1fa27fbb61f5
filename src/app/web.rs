//! Opens the web server, where the configuration has one.

use std::sync::Arc;

use super::live::Live;
use super::serve::ServeError;
use crate::http::{self, House, Secured, WebServer};
use crate::settings::Settings;
use crate::tls::ClientCertificates;

/// The web server at work; nothing where there is none.
pub(super) async fn open(
    settings: &Settings,
    live: &Live,
    house: &Arc<dyn House>,
) -> Result<Option<WebServer>, ServeError> {
    let config = &settings.http;
    let Some(address) = config.address else { return Ok(None) };
    let (live, profile) = (live.clone(), config.tls.clone());
    // Asked for each connection, so that a certificate that was renewed is shown.
    let secured: Secured = Arc::new(move || {
        let name = profile.as_deref()?;
        live.now().tls.server(name, ClientCertificates::None)
    });
    let router = http::router(config, Arc::clone(house))?;
    let opened = WebServer::open(address, config, secured, router).await;
    opened.map(Some).map_err(|error| ServeError::Web { address, error })
}
