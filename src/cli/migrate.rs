//! `sealgate migrate`: an archive that is there already, sealed study by study, or opened again: no way leads only in.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::DirBuilder;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::custody::{self, Office};
use super::{ConfigArgs, Exit, complain, open_archive, own_door};
use crate::association::{self, Transport};
use crate::custody::Role;
use crate::dicom::{AeAddress, AeTitle, Uid};
use crate::flow::Generators;
use crate::flow::migrate::{
    Direction, Entry, Found, Journal, Landing, Migration, Place, Plan, Summary, Target,
};
use crate::keys::KeysError;
use crate::policy::Fetch;
use crate::scu::{Destination, Dialer, Dialing, Failure, Pool};
use crate::seal::Suite;
use crate::settings::Settings;
use crate::tls::Profiles;

/// Seal the images that an archive has in clear, study by study, or open sealed ones again
#[derive(Debug, Args)]
#[command(after_help = "Examples: sealgate migrate --from archive --dry-run\n          \
    sealgate migrate --from archive --dates 20200101-20201231 --per-second 20\n          \
    sealgate migrate --from archive --open --out /mnt/originals\n\n\
    Every image is read back before its study is called done. Run it again to go on where it stopped.\n\
    The journal says what is done; its studies are left out, unless another journal is named.")]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
pub(super) struct Migrate {
    /// The destination to read from, by its name in the configuration
    #[arg(long, value_name = "NAME")]
    from: String,
    /// The destination to store to; by default back where they come from
    #[arg(long, value_name = "NAME", conflicts_with = "out")]
    to: Option<String>,
    /// Open sealed images instead, to another destination or into a folder
    #[arg(long)]
    open: bool,
    /// Folder that opened images go to, a file for each; made for this user alone if it is not there
    #[arg(long, value_name = "FOLDER", requires = "open")]
    out: Option<PathBuf>,
    /// Only studies of these dates: 20200101, or 20200101-20201231
    #[arg(long, value_name = "DATES", default_value = "")]
    dates: String,
    /// Only this study; may be given more than once
    #[arg(long = "study", value_name = "UID")]
    studies: Vec<Uid>,
    /// Images stored in a second, at most
    #[arg(long, value_name = "N")]
    per_second: Option<f64>,
    /// Call a copy in another archive good although that has changed attributes of it; its pixels have to be the same
    #[arg(long)]
    accept_changes: bool,
    /// Where it is written down what is done; by default migrate-FROM.journal here
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Folder for sealed images on their way; by default the system's for temporary files
    #[arg(long, value_name = "FOLDER")]
    scratch: Option<PathBuf>,
    /// How images are sealed
    #[arg(long, default_value_t = Suite::DeepKeyGen, value_parser = super::seal::suite)]
    suite: Suite,
    /// Where a C-MOVE leads to, instead of the first listener, and in clear; only with retrieve = "move"
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Say what there is to do, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object for each study, and one for all
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Bytes of an opened image that is held in memory on its way to another archive.
const HELD_BYTES_MAX: usize = 2 << 30;

/// What became of all studies.
#[derive(Default)]
struct Totals {
    done: usize,
    failed: usize,
    before: usize,
    images: u64,
}

impl Migrate {
    pub(super) fn run(self) -> Exit {
        #[cfg(debug_assertions)]
        crate::app::watch_steps();
        let (settings, archive) = match open_archive(&self.config) {
            Ok(opened) => opened,
            Err(exit) => return exit,
        };
        if let Err(exit) = self.recorded(&settings) {
            return exit;
        }
        let plan = match self.plan(&settings) {
            Ok(plan) => plan,
            Err(error) => {
                complain(error);
                return Exit::Failed;
            }
        };
        let ran = pool(&settings).and_then(|pool| {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            let generators = Generators::start(&settings.keygen, archive.keyring());
            runtime.block_on(async {
                let landing = self.landing(&settings, &plan).await?;
                let begun = Migration::new(plan, Arc::new(archive), generators, pool);
                let migration = begun.map_err(|error| {
                    format!("no file can be made in the folder of --out or --scratch: {error}")
                })?;
                self.migrate(match landing {
                    Some(landing) => migration.with_landing(landing),
                    None => migration,
                })
                .await
            })
        });
        ran.unwrap_or_else(|error| {
            complain(error);
            Exit::Failed
        })
    }

    /// A whole archive through somebody's hands: of those who hold the keys, and with a record before it begins.
    fn recorded(&self, settings: &Settings) -> Result<(), Exit> {
        custody::require(settings, &[Role::Custodian])?;
        let text = format!("migrate: {} the images of an archive", if self.open { "open" } else { "seal" });
        Office::of(settings).ledger.uses_about(&text, &self.from).map_err(|problem| {
            complain(KeysError::from(problem));
            Exit::Failed
        })
    }

    fn plan(&self, settings: &Settings) -> Result<Plan, String> {
        let from = destination(settings, &self.from)?;
        let to = match (&self.out, &self.to) {
            (Some(folder), _) => Target::Folder(make(folder)?),
            (None, Some(name)) => Target::Archive(destination(settings, name)?),
            (None, None) if self.open => {
                return Err("say where opened images go: --out FOLDER or --to NAME".to_owned());
            }
            (None, None) => Target::Archive(from.clone()),
        };
        if self.open && to == Target::Archive(from.clone()) {
            return Err("opened images would go back into the archive that holds them sealed; name another"
                .to_owned());
        }
        Ok(Plan {
            from,
            to,
            direction: if self.open { Direction::Open } else { Direction::Seal },
            suite: self.suite,
            per_second: self.per_second,
            scratch: self.scratch.clone().unwrap_or_else(std::env::temp_dir),
            held_bytes_max: HELD_BYTES_MAX,
            accept_changes: self.accept_changes,
        })
    }

    /// Where archives send to that are asked by C-MOVE.
    async fn landing(&self, settings: &Settings, plan: &Plan) -> Result<Option<Landing>, String> {
        let to = match &plan.to {
            Target::Archive(place) => Some(place),
            Target::Folder(_) => None,
        };
        let mut titles: Vec<AeTitle> = std::iter::once(&plan.from)
            .chain(to)
            .filter(|place| place.fetch == Fetch::Move)
            .map(|place| place.node.calling.clone())
            .collect();
        titles.dedup();
        let title = match &titles[..] {
            [] => return Ok(None),
            [title] => title.clone(),
            _ => return Err("both archives are asked by C-MOVE, so they need the same `calling`".to_owned()),
        };
        let profiles =
            Profiles::load(&settings.tls, &Profiles::default()).map_err(|error| error.to_string())?;
        let (address, server) = own_door(settings, &profiles, self.listen);
        let limits = settings.scu.limits(&settings.association);
        let opened = Landing::open(address, server, title.clone(), limits).await;
        opened.map(Some).map_err(|error| {
            format!(
                "cannot listen on {address} for what C-MOVE brings: {error}; stop the gateway for as long as the migration \
                 takes, or name with --listen another address that the archive knows {title} under"
            )
        })
    }

    async fn migrate(&self, mut migration: Migration) -> Result<Exit, String> {
        let mut studies = migration.studies(&self.dates).await.map_err(|error| error.to_string())?;
        if !self.studies.is_empty() {
            studies.retain(|found| self.studies.contains(&found.study));
        }
        if self.dry_run {
            return Ok(self.preview(&studies));
        }
        let path = self.journal.clone().unwrap_or_else(|| format!("migrate-{}.journal", self.from).into());
        let mut journal = Journal::open(&path, &self.title()).map_err(|error| error.to_string())?;
        let bar = progress(studies.len());
        let mut totals = Totals::default();
        for found in &studies {
            if journal.is_done(&found.study) {
                totals.before += 1;
                bar.inc(1);
                continue;
            }
            let migrated = migration.migrate(&found.study).await.map_err(|error| error.to_string());
            match &migrated {
                Ok(summary) => {
                    totals.done += 1;
                    totals.images += summary.changed;
                }
                Err(_) => totals.failed += 1,
            }
            journal.write(entry(found, &migrated)).map_err(|error| error.to_string())?;
            bar.suspend(|| self.say(found, &migrated));
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(self.end(studies.len(), &totals))
    }

    /// What the journal is of.
    fn title(&self) -> String {
        let mut title = format!("{} {}", if self.open { "open" } else { "seal" }, self.from);
        if let Some(to) = &self.to {
            let _ = write!(title, " to {to}");
        }
        if let Some(out) = &self.out {
            let _ = write!(title, " into {}", out.display());
        }
        title
    }

    fn preview(&self, studies: &[Found]) -> Exit {
        for found in studies {
            let Found { study, date, instances } = found;
            if self.json {
                println!("{}", json!({ "study": study, "date": date, "instances": instances }));
            } else {
                let count = instances.map_or_else(|| "?".to_owned(), |count| count.to_string());
                println!("{study}: of {date}, {count} instances");
            }
        }
        if !self.json {
            println!("{} studies; nothing was done.", studies.len());
        }
        Exit::Done
    }

    fn say(&self, found: &Found, migrated: &Result<Summary, String>) {
        let study = &found.study;
        match migrated {
            Ok(summary) if self.json => println!("{}", as_json(found, summary)),
            Err(error) if self.json => {
                println!("{}", json!({ "study": study, "done": false, "error": error }));
            }
            Ok(Summary { changed, unchanged, without_pixels, accepted, .. }) => {
                let verb = if self.open { "opened" } else { "sealed" };
                let otherwise = match accepted {
                    0 => String::new(),
                    _ => format!("; of {accepted} the archive has changed attributes"),
                };
                println!(
                    "{study}: {changed} {verb} and read back, {unchanged} as they should be, {without_pixels} without \
                     pixels{otherwise}"
                );
            }
            Err(error) => complain(format_args!("{study}: {error}")),
        }
    }

    fn end(&self, studies: usize, totals: &Totals) -> Exit {
        let Totals { done, failed, before, images } = *totals;
        if self.json {
            println!(
                "{}",
                json!({ "studies": studies, "done": done, "done_before": before, "failed": failed, "images": images })
            );
        } else {
            println!(
                "{done} of {studies} studies done, {before} were before, {failed} failed; {images} images."
            );
        }
        if failed > 0 {
            complain(
                "some studies are not done: what is wrong stands above and in the journal; run it again",
            );
            return Exit::Unfinished;
        }
        Exit::Done
    }
}

fn as_json(found: &Found, summary: &Summary) -> Value {
    let Summary { changed, unchanged, without_pixels, bytes, accepted } = summary;
    json!({
        "study": found.study, "done": true, "changed": changed, "unchanged": unchanged,
        "without_pixels": without_pixels, "bytes": bytes, "changed_by_archive": accepted,
    })
}

fn entry(found: &Found, migrated: &Result<Summary, String>) -> Entry {
    let summary = migrated.clone().unwrap_or_default();
    Entry {
        study: found.study.clone(),
        done: migrated.is_ok(),
        changed: summary.changed,
        unchanged: summary.unchanged,
        without_pixels: summary.without_pixels,
        error: migrated.clone().err(),
    }
}

pub(super) fn destination(settings: &Settings, name: &str) -> Result<Place, String> {
    let found = settings.destinations.iter().find(|destination| destination.name == name);
    let names = || settings.destinations.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
    let found =
        found.ok_or_else(|| format!("there is no destination {name:?} in the configuration: {}", names()))?;
    let own = found.calling.clone().or_else(|| settings.titles.first().cloned());
    let calling = own.ok_or("the gateway has no AE title: set titles")?;
    Ok(Place { node: Destination { address: found.address.clone(), calling }, fetch: found.retrieve })
}

/// A folder for opened images: one that is not there is made for this user alone.
fn make(folder: &Path) -> Result<PathBuf, String> {
    if !folder.exists() {
        let made = DirBuilder::new().mode(0o700).create(folder);
        made.map_err(|error| format!("{}: {error}; make the folder, or name another", folder.display()))?;
    }
    if folder.is_dir() { Ok(folder.to_owned()) } else { Err(format!("{} is no folder", folder.display())) }
}

/// Associations as the configuration wants them.
pub(super) fn pool(settings: &Settings) -> Result<Pool, String> {
    let profiles = Profiles::load(&settings.tls, &Profiles::default()).map_err(|error| error.to_string())?;
    let ways = settings.ways(&profiles).map_err(|error| error.to_string())?;
    let scu = Arc::new(settings.scu.clone());
    let door = Arc::new(scu.limits(&settings.association));
    Ok(Pool::new(Arc::new(Ways(ways)), door, scu))
}

/// How each destination is reached.
struct Ways(HashMap<AeAddress, Transport>);

impl Dialer for Ways {
    fn dial<'a>(&'a self, target: &'a AeAddress, limits: &'a association::Config) -> Dialing<'a> {
        Box::pin(async move {
            let way = self.0.get(target);
            let way = way.ok_or_else(|| Failure::Tls(format!("no destination has the address {target}")))?;
            way.dial(target, limits).await
        })
    }
}

fn progress(studies: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {pos}/{len} studies {eta}");
    let bar = ProgressBar::with_draw_target(Some(studies as u64), ProgressDrawTarget::stderr());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message("migrating");
    bar
}
