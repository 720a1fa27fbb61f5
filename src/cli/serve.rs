//! `sealgate serve`: runs the gateway until it is told to stop.

use std::net::SocketAddr;

use clap::Args;

use super::{ConfigArgs, Exit, complain};
use crate::app;
use crate::settings;

/// Run the gateway until SIGTERM or Ctrl-C
#[derive(Debug, Args)]
#[command(after_help = "Example: sealgate serve --config conf/gateway.toml\n\n\
    SIGTERM or Ctrl-C finishes what is in hand and ends; a second one ends at once. SIGHUP reads the configuration \
    again: peers, routes, limits and the log level change without dropping an association.")]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigArgs,
    /// Address and port for plain DICOM, instead of all listeners; may be given more than once
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
    /// Log level instead of log.level
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Log format instead of log.format: text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl Serve {
    pub(super) fn run(self) -> Exit {
        let mut source = self.config.source();
        source.listen = self.listen;
        source.flags.extend(self.log_level.map(|level| ("log.level".to_owned(), level)));
        source.flags.extend(self.log_format.map(|format| ("log.format".to_owned(), format)));
        let ready = settings::load(&source).and_then(|settings| Ok((settings.rules()?, settings)));
        let (rules, settings) = match ready {
            Ok(ready) => ready,
            Err(error) => {
                complain(error);
                return Exit::Configuration;
            }
        };
        match app::serve(source, settings, rules) {
            Ok(app::Ended::Drained) => Exit::Done,
            Ok(app::Ended::Cut) => Exit::Unfinished,
            Err(error) => {
                use app::ServeError::{Identity, Probe, Tls};
                let exit = match error {
                    Tls(_) | Identity(_) | Probe(_) => Exit::Configuration,
                    _ => Exit::Failed,
                };
                complain(error);
                exit
            }
        }
    }
}
