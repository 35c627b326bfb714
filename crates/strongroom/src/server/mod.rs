//! `strongroom server`: from a plan (of a development server or of a configuration file) to a running server, and its
//! orderly end. The only place that puts all rooms together, and that reads the wall clock.

mod check;
mod dev;
mod log;
mod notify;
mod plan;
mod production;
mod reload;
mod signal;
mod statsd;
mod system;

use crate::cli::ServerArgs;
use anyhow::Context;
use notify::Manager;
use plan::{Keep, Plan};
use reload::Reload;
use signal::{Hangup, Signal, Signals};
use statsd::{Collector, Sender};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use strongroom_api::{Listener, LogControl, Server};
use strongroom_audit::Trail;
use strongroom_barrier::SystemEntropy;
use strongroom_core::{Plugins, Setup, Strongroom};
use strongroom_engines::rotation::{self, function, hook};
use strongroom_model::Clock;
use strongroom_storage::{Epoch, Memory, Sqlite, Store};
use system::SystemClock;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Runs a server until it is told to stop, or looks at its configuration only.
pub(crate) fn run(args: ServerArgs) -> ExitCode {
    if args.check {
        return check::run(&args);
    }
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::complain(&format!("Error: the server cannot start: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

fn start(args: ServerArgs) -> anyhow::Result<()> {
    strongroom_memory::harden_process()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let hangup = Hangup::catch()?;
        let dev = args.dev;
        let (plan, warnings) = if dev { (dev::plan(&args)?, Vec::new()) } else { production::plan(&args)? };
        let (log, log_file) = log::start(&plan.log)?;
        let binds = plan.binds.clone();
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let running = Running::start(plan, log).await?;
        if dev {
            dev::open(&running, &args).await?;
        } else {
            production::announce(&running);
        }
        let reload = Reload::new(&binds, &running.listeners, log_file);
        running.serve(reload, Signals::new(hangup)?, &args).await
    })
}

/// A server whose store, trail and sockets are open.
struct Running {
    strongroom: Arc<Strongroom>,
    listeners: Vec<Listener>,
    server: Arc<Server>,
    collectors: Vec<Collector>,
    _pid_file: Option<PidFile>,
}

/// The file with the number of this process; removed at the end.
struct PidFile(PathBuf);

impl PidFile {
    fn write(path: PathBuf) -> anyhow::Result<Self> {
        std::fs::write(&path, std::process::id().to_string())
            .with_context(|| format!("the pid file {} cannot be written", path.display()))?;
        Ok(Self(path))
    }
}

/// Everything that this binary has, with the programs that the operator declared.
fn plugins(plan: &mut Plan) -> Plugins {
    let functions = std::mem::take(&mut plan.functions).into_iter().map(function);
    let hooks = std::mem::take(&mut plan.hooks).into_iter().map(hook);
    let own = rotation::methods(std::mem::take(&mut plan.hosts));
    let methods = functions.chain(hooks).fold(own, |methods, (name, method)| methods.with(name, method));
    strongroom_auth::plugins().with_all(strongroom_engines::plugins()).with_methods(methods)
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Running {
    async fn start(mut plan: Plan, log: LogControl) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        // Sockets first: a taken port is the likeliest failure, and must not leave a half-made store behind.
        let mut listeners = Vec::new();
        for bind in &plan.binds {
            listeners.push(Listener::bind(bind).await?);
        }
        let store: Arc<dyn Store> = match &plan.keep {
            Keep::Memory => Arc::new(Memory::new()),
            Keep::File(path) => Arc::new(Sqlite::open(path, Arc::clone(&clock))?),
        };
        let trail = Trail::open_with(plan.trail.clone(), Arc::clone(&clock), plan.trail_options.clone()).await?;
        trail.keep_out_of(std::mem::take(&mut plan.off_limits));
        let setup = Setup {
            store,
            // One process per embedded store, enforced by a lock on the file, so there is nobody to fence off.
            epoch: Epoch::default(),
            trail,
            plugins: Arc::new(plugins(&mut plan)),
            settings: plan.settings.clone(),
            clock,
            entropy: Arc::new(SystemEntropy),
            static_keys: std::mem::take(&mut plan.static_keys),
            accept_rollback: plan.accept_rollback,
        };
        let strongroom = Strongroom::start(setup).await?;
        let server = Server::new(Arc::clone(&strongroom), plan.identity, plan.limits);
        let server = server.with_log(log).with_aws(plan.aws).with_prometheus(plan.prometheus);
        let server = Arc::new(server.with_listeners(&plan.binds));
        let pid_file = plan.pid_file.map(PidFile::write).transpose()?;
        Ok(Self { strongroom, listeners, server, collectors: plan.collectors, _pid_file: pid_file })
    }

    /// The address of the first listener, as clients write it.
    fn url(&self) -> String {
        self.listeners.first().map(|listener| listener.url().to_owned()).unwrap_or_default()
    }

    async fn serve(mut self, mut reload: Reload, mut signals: Signals, args: &ServerArgs) -> anyhow::Result<()> {
        let (stop, stopped) = watch::channel(false);
        let listeners = std::mem::take(&mut self.listeners);
        let mut serving = JoinSet::new();
        let mut sending = JoinSet::new();
        for collector in std::mem::take(&mut self.collectors) {
            sending.spawn(Sender::new(collector).run(Arc::clone(&self.server), stopped.clone()));
        }
        serving.spawn(Arc::clone(&self.server).run(listeners, stopped));
        let mut manager = Manager::of_process();
        manager.ready();
        loop {
            tokio::select! {
                _ = serving.join_next() => break,
                () = manager.live() => {}
                signal = signals.next() => match signal {
                    Signal::Reload => {
                        manager.reloading();
                        reload.run(&self, args).await;
                        manager.ready();
                    }
                    Signal::Stop => {
                        manager.stopping();
                        tracing::info!("stopping: requests under way are finished first");
                        self.strongroom.hush();
                        stop.send_replace(true);
                        break;
                    }
                },
            }
        }
        // Whoever waits for the end is told that it is coming: a store may take its time to close.
        let end = async {
            stop.send_replace(true);
            while serving.join_next().await.is_some() {}
            while sending.join_next().await.is_some() {}
            self.strongroom.close().await;
        };
        tokio::select! {
            () = end => {}
            () = manager.live() => {}
        }
        Ok(())
    }
}
