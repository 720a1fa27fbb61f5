//! The life of the gateway: start-up as a list, then signals until the end.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tracing::{error, info, warn};

use super::doors::Doors;
use super::emergencies::{self, Emergencies};
use super::harden::{self, Programs};
use super::house::{Hall, now_unix};
use super::live::{Live, State};
use super::signals::{Signals, Wish};
use super::{certificates, hosts, notify, probes, rooms, selfcheck, status, web};
use crate::audit::{self, Alert, AuditError, What};
use crate::flow;
use crate::http::House;
use crate::identity::IdentityError;
use crate::keys::{KeysError, UnlockMethod};
use crate::policy::{HostTable, Rules};
use crate::settings::{self, Settings, SettingsError, Source};
use crate::spool::{Mailbox, SpoolError};
use crate::telemetry::{self, LevelError, LogHandle};
use crate::tls::{LoadError, Profiles};

/// How the gateway ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything in hand was finished.
    Drained,
    /// A deadline or a second signal came first.
    Cut,
}

/// Why the gateway could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LevelError),
    /// The keys.
    #[error("{0}\n{advice}", advice = .0.advice())]
    Keys(#[from] KeysError),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The audit trail.
    #[error("{0}\n{advice}", advice = .0.advice())]
    Audit(#[from] AuditError),
    /// A listener.
    #[error(
        "cannot listen on {address}: {error}; choose another port in listeners, or stop what uses this one"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// Certificates, keys or trust.
    #[error(transparent)]
    Tls(#[from] LoadError),
    /// What identities are verified against.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A destination that its probe speaks against.
    #[error(transparent)]
    Probe(SettingsError),
    /// The web server.
    #[error(
        "the web server cannot listen on {address}: {error}; choose another http.address, or stop what uses this one"
    )]
    Web {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// Threads or signals.
    #[error("the system refused {what}: {error}; see what the unit and the machine allow the service")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What the system says.
        error: io::Error,
    },
}

/// Runs the gateway until it is told to stop.
pub fn serve(source: Source, settings: Settings, rules: Rules) -> Result<Ended, ServeError> {
    let log = telemetry::init(&settings.log)?;
    // Before calls are given up: it asks another program about the clock.
    let profiles = Profiles::load(&settings.tls, &Profiles::default()).ok();
    selfcheck::tell(&selfcheck::self_check(&settings, &source, profiles.as_ref()));
    harden::harden(programs(&settings));
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| ServeError::System { what: "threads", error })?;
    let started = settings.clone();
    let ended = runtime.block_on(run(Gateway { source, settings, started, log }, rules));
    // What a deadline cut off may still sit in a thread; it does not hold up the end.
    runtime.shutdown_background();
    ended
}

/// A token's library comes from its vendor, and that of a graphics card starts helpers; of our own code none does.
fn programs(settings: &Settings) -> Programs {
    if settings.keys.unlock == UnlockMethod::Token || cfg!(feature = "tch") {
        Programs::Allowed
    } else {
        Programs::Refused
    }
}

/// What the process keeps to itself: the configurations in force and at the start, and where they came from.
struct Gateway {
    source: Source,
    settings: Settings,
    started: Settings,
    log: LogHandle,
}

async fn run(mut gateway: Gateway, rules: Rules) -> Result<Ended, ServeError> {
    let mut signals = Signals::listen().map_err(|error| ServeError::System { what: "signals", error })?;
    probes::check(&gateway.settings).map_err(ServeError::Probe)?;
    let hosts = hosts::resolve(&rules, &HostTable::new()).await;
    let profiles = certificates::load(&gateway.settings, &Profiles::default())?;
    let verifier = gateway.settings.verifier()?;
    let live = Live::new(State::new(&gateway.settings, rules.with_hosts(hosts), profiles, verifier));
    let rooms = rooms::gateway(&gateway.settings, &live)?;
    let trail = rooms.as_ref().map(|rooms| rooms.trail.clone()).unwrap_or_default();
    let shipper = audit::ship(&trail, &rooms::repositories(&live));
    let doors = Doors::open(&gateway.settings.listeners, &live, rooms.as_ref()).await?;
    let house = house(&gateway.settings, &live, &doors, rooms.as_ref());
    let web = web::open(&gateway.settings, &live, &house).await?;
    let forwarder = rooms.as_ref().map(flow::forward);
    let _commitments = rooms.as_ref().map(flow::commitment::work);
    if let Some(rooms) = &rooms {
        tokio::spawn(rooms::verify(Arc::clone(rooms)));
        let mailbox = Mailbox::of(&gateway.settings.spool.folder);
        tokio::spawn(flow::attend(Arc::clone(rooms), mailbox));
        tokio::spawn(status::tell(gateway.settings.spool.folder.clone(), house));
    }
    notify::ready(&doors.status());
    steer(&mut gateway, &mut signals, &live, &doors, rooms.as_deref()).await;
    notify::stopping();
    let patience = Duration::from_secs(gateway.settings.app.drain_seconds_max);
    info!(associations = doors.associations(), seconds = patience.as_secs(), "stopping");
    let forwarding = async {
        if let Some(forwarder) = forwarder {
            forwarder.close().await;
        }
    };
    let ended = drain(async { tokio::join!(doors.close(), forwarding) }, patience, &mut signals).await;
    if let Some(web) = web {
        web.close().await;
    }
    let _closed = tokio::task::spawn_blocking(move || trail.close()).await;
    // What is not sent by then waits in the log.
    if ended == Ended::Drained {
        let _sent = timeout(Duration::from_secs(5), shipper.close()).await;
    }
    Ok(ended)
}

/// The gateway as the web server and `sealgate status` see it.
fn house(
    settings: &Settings,
    live: &Live,
    doors: &Doors,
    rooms: Option<&Arc<flow::Gateway>>,
) -> Arc<dyn House> {
    Arc::new(Hall {
        live: live.clone(),
        slots: doors.slots(),
        listeners: doors.listeners(&settings.listeners),
        rooms: rooms.cloned(),
        settings: settings.clone(),
        started_unix: now_unix(),
        searching: Mutex::default(),
    })
}

/// Follows signals and clocks until the first wish to end.
async fn steer(
    gateway: &mut Gateway,
    signals: &mut Signals,
    live: &Live,
    doors: &Doors,
    rooms: Option<&flow::Gateway>,
) {
    let mut resolving = clock(gateway.settings.app.resolve_seconds);
    let mut tls_files = clock(gateway.settings.app.tls_files_seconds);
    // The first tick is at once.
    let mut ends = interval(Duration::from_secs(certificates::ENDS_SECONDS));
    // Without a watchdog the clock ticks once an hour, and nobody listens.
    let mut watchdog = interval(notify::watchdog_interval().unwrap_or(Duration::from_secs(3600)));
    let mut emergencies = Emergencies::open(&gateway.settings.spool.folder);
    let mut looking = interval(Duration::from_secs(emergencies::SECONDS));
    loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::End => {
                    if rooms.is_some() {
                        emergencies.keep();
                    }
                    return;
                }
                Wish::Reload => {
                    notify::reloading();
                    let outcome = reload(gateway, live).await;
                    if let Some(rooms) = rooms {
                        rooms.trail.alert(match outcome {
                            Ok(()) => Alert::done(What::Reconfigured, "configuration reloaded"),
                            Err(error) => Alert::failed(What::Reconfigured, error),
                        });
                    }
                    notify::ready(&doors.status());
                }
            },
            _ = resolving.tick() => {
                let state = live.now();
                let hosts = hosts::resolve(&state.rules, state.rules.hosts()).await;
                let rules = Rules::clone(&state.rules).with_hosts(hosts);
                live.replace(state.next(&gateway.settings, rules, state.tls.clone(), state.verifier.clone()));
            }
            _ = tls_files.tick() => certificates::refresh(live, &gateway.settings),
            _ = ends.tick() => certificates::warn_of_ends(&live.now().tls),
            _ = looking.tick() => if let Some(rooms) = rooms {
                emergencies.look(&rooms.release.grants, &rooms.trail);
            },
            _ = watchdog.tick() => notify::alive(),
        }
    }
}

/// Ticks every so many seconds, for the first time after as many.
fn clock(seconds: u64) -> Interval {
    let mut clock = interval(Duration::from_secs(seconds));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    clock.reset();
    clock
}

/// Puts the configuration as it now stands in force, or leaves everything as it was.
async fn reload(gateway: &mut Gateway, live: &Live) -> Result<(), SettingsError> {
    let fresh = settings::load(&gateway.source).and_then(|settings| Ok((settings.rules()?, settings)));
    let (rules, fresh) = match fresh {
        Ok(fresh) => fresh,
        Err(error) => return keep(error),
    };
    if let Err(error) = probes::check(&fresh) {
        return keep(error);
    }
    let state = live.now();
    let profiles = match certificates::load(&fresh, &state.tls) {
        Ok(profiles) => profiles,
        Err(error) => return keep(SettingsError::Value(error.to_string())),
    };
    let verifier = match fresh.verifier() {
        Ok(verifier) => verifier,
        Err(error) => return keep(SettingsError::Value(error.to_string())),
    };
    if let Err(error) = gateway.log.set_level(&fresh.log) {
        return keep(SettingsError::Value(error.to_string()));
    }
    let started = &gateway.started;
    let unchanged = [
        ("listeners", addresses(&fresh) == addresses(started)),
        ("app.resolve_seconds", fresh.app.resolve_seconds == started.app.resolve_seconds),
        ("app.tls_files_seconds", fresh.app.tls_files_seconds == started.app.tls_files_seconds),
        ("audit", fresh.audit == started.audit),
        ("commitment", fresh.commitment == started.commitment),
        ("grants", fresh.grants == started.grants),
        ("http", fresh.http == started.http),
        ("roles, for the admin page", fresh.roles == started.roles || started.http.users.is_none()),
        ("the first route", fresh.routes.is_empty() == started.routes.is_empty()),
        ("log.format", fresh.log.format == started.log.format),
    ];
    for (key, _) in unchanged.iter().filter(|(_, same)| !same) {
        warn!(key, "this key differs from the one at the start, it takes effect with the next start");
    }
    let hosts = hosts::resolve(&rules, state.rules.hosts()).await;
    live.replace(state.next(&fresh, rules.with_hosts(hosts), profiles, verifier));
    certificates::warn_of_ends(&live.now().tls);
    info!(peers = fresh.peers.len(), routes = fresh.routes.len(), "configuration reloaded");
    gateway.settings = fresh;
    Ok(())
}

fn addresses(settings: &Settings) -> Vec<SocketAddr> {
    settings.listeners.iter().map(|listener| listener.address).collect()
}

fn keep(error: SettingsError) -> Result<(), SettingsError> {
    error!(%error, "the new configuration is wrong, the configuration stays as it was");
    Err(error)
}

/// Lets what is in hand finish; a deadline or a second signal cuts it off.
async fn drain(
    everything: impl Future<Output = ((), ())>,
    patience: Duration,
    signals: &mut Signals,
) -> Ended {
    let second_end = async {
        while signals.next().await != Wish::End {
            info!("a reload while stopping has no effect");
        }
    };
    tokio::select! {
        finished = timeout(patience, everything) => if finished.is_ok() {
            info!("stopped, nothing was in hand");
            Ended::Drained
        } else {
            warn!("stopped at the deadline with work in hand");
            Ended::Cut
        },
        () = second_end => {
            warn!("stopped at once, as asked a second time");
            Ended::Cut
        }
    }
}
