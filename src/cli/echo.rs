//! `sealgate echo`: asks another node for C-ECHO and says what came back.

use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::tls::TlsArgs;
use super::{Exit, complain};
use crate::association::{Config, Error};
use crate::dicom::{AeAddress, AeTitle, Status};
use crate::scu::{self, Echoed};

/// Ask another node for C-ECHO
#[derive(Debug, Args)]
#[command(after_help = "Examples: sealgate echo PACS@pacs.example.org:104 --calling SEALGATE\n          \
    sealgate echo PACS@pacs.example.org:2762 --tls-ca ca.pem --tls-certificate gateway.pem --tls-key gateway.key")]
pub(super) struct Echo {
    /// The node, as AE@host:port
    target: AeAddress,
    /// The AE title to call with
    #[arg(long, value_name = "TITLE", default_value = "ECHOSCU")]
    calling: AeTitle,
    /// Seconds each step may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Ask so many times, with an association each
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    #[command(flatten)]
    tls: TlsArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Echo {
    pub(super) fn run(self) -> Exit {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                complain(error);
                return Exit::Failed;
            }
        };
        let seconds = self.timeout;
        let config = Arc::new(Config {
            artim_seconds: seconds,
            idle_seconds: seconds,
            pdu_seconds: seconds,
            send_seconds: seconds,
            connect_seconds: seconds,
            ..Config::default()
        });
        let transport = match self.tls.transport() {
            Ok(transport) => transport,
            Err(error) => {
                complain(error);
                return Exit::Failed;
            }
        };
        for _ in 0..self.count {
            let exit = match runtime.block_on(scu::echo(&transport, &self.target, &self.calling, &config)) {
                Ok(echoed) => self.say(&echoed),
                Err(error) => self.refuse(&error),
            };
            if exit != Exit::Done {
                return exit;
            }
        }
        Exit::Done
    }

    fn say(&self, echoed: &Echoed) -> Exit {
        let millis = |time: std::time::Duration| time.as_secs_f64() * 1000.0;
        let (association, echo) = (millis(echoed.association_time), millis(echoed.echo_time));
        let (target, status) = (&self.target, echoed.status);
        if self.json {
            let line = json!({
                "target": target, "ok": status == Status::SUCCESS, "status": status.to_string(),
                "association_ms": association, "echo_ms": echo,
            });
            println!("{line}");
        } else if status == Status::SUCCESS {
            println!("{target} answered: association {association:.1} ms, echo {echo:.1} ms");
        } else {
            println!("{target} answered with status {status}");
        }
        if status == Status::SUCCESS { Exit::Done } else { Exit::Peer }
    }

    fn refuse(&self, error: &Error) -> Exit {
        let target = &self.target;
        if self.json {
            println!("{}", json!({ "target": target, "ok": false, "error": error.to_string() }));
        } else {
            complain(format_args!("{target}: {error}{}", advice(error)));
        }
        Exit::Peer
    }
}

/// What to do about the refusals that a wrong configuration causes.
fn advice(error: &Error) -> &'static str {
    match error {
        Error::Rejected(refused) => match (refused.source, refused.reason) {
            (1, 3) => "; register our AE title and address there, or call with another --calling",
            (1, 7) => "; check the AE title before the @",
            _ => "",
        },
        Error::Closed(_) => "; it may take TLS only (--tls-ca), or only peers that it knows",
        Error::Io(_) => "; check host and port, and that a node listens there",
        _ => "",
    }
}
