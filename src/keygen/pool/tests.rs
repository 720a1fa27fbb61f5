//! The pool with engines that work, fail, panic and hang.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// An engine that does what it is told for each batch.
struct Told {
    orders: Mutex<Receiver<Order>>,
}

enum Order {
    Work,
    Fail,
    Panic,
    TooFew,
    HangUntil(Receiver<()>),
}

impl Engine for Told {
    fn id(&self) -> GeneratorId {
        GeneratorId::new([7; 32])
    }

    fn name(&self) -> String {
        "told".into()
    }

    fn generate(&self, seeds: &[Seed]) -> Result<Vec<KeyImage>, KeygenError> {
        let work = || seeds.iter().map(|_| KeyImage::blank()).collect();
        let order = self.orders.lock().unwrap_or_else(PoisonError::into_inner).recv().unwrap_or(Order::Work);
        match order {
            Order::Work => Ok(work()),
            Order::Fail => Err(KeygenError::Engine("told to".into())),
            Order::Panic => panic!("told to"),
            Order::TooFew => Ok(Vec::new()),
            Order::HangUntil(signal) => {
                let _ = signal.recv();
                Ok(work())
            }
        }
    }
}

fn config() -> PoolConfig {
    PoolConfig {
        ready_max: 6,
        batch_max: 4,
        images_per_second_max: 100_000,
        batch_seconds_max: 1,
        retry_seconds_max: 1,
    }
}

fn pool(config: &PoolConfig) -> (Pool<[u8; 32]>, Sender<Order>) {
    let (send, orders) = channel();
    let engine = Arc::new(Told { orders: Mutex::new(orders) });
    let pool = Pool::start(engine, config, |id, seed, image| {
        assert_eq!((id.as_bytes()[0], image.expose_secret().len()), (7, KeyImage::LENGTH));
        *seed.expose_secret()
    });
    (pool.unwrap(), send)
}

fn until(pool: &Pool<[u8; 32]>, condition: impl Fn(&PoolStatus) -> bool) -> PoolStatus {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let status = pool.status();
        if condition(&status) {
            return status;
        }
        assert!(Instant::now() < end, "still waiting: {status:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn fills_to_its_size_and_again_after_something_was_taken() {
    let (pool, orders) = pool(&config());
    drop(orders);
    assert_eq!(until(&pool, |status| status.ready == 6).made, 6);
    let taken: Vec<_> = (0..5).filter_map(|_| pool.take()).collect();
    assert_eq!(taken.len(), 5);
    let distinct: std::collections::HashSet<_> = taken.iter().map(|seed| **seed).collect();
    assert_eq!(distinct.len(), 5, "each from a seed of its own");
    let status = until(&pool, |status| status.ready == 6);
    assert_eq!((status.made, status.taken, status.missed, status.alarm), (11, 5, 0, None));
}

#[test]
fn an_engine_that_hangs_leaves_takers_with_nothing_but_never_waiting() {
    let (pool, orders) = pool(&config());
    let (release, signal) = channel();
    orders.send(Order::HangUntil(signal)).unwrap();
    let begun = Instant::now();
    for _ in 0..1000 {
        assert!(pool.take().is_none());
    }
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    let status = until(&pool, |status| status.alarm == Some(Alarm::Stuck));
    assert_eq!((status.missed, status.made), (1000, 0));
    release.send(()).unwrap();
    drop(orders);
    assert!(until(&pool, |status| status.ready == 6).alarm.is_none());
}

#[test]
fn an_engine_that_fails_or_panics_raises_the_alarm_until_it_works_again() {
    for order in [Order::Fail, Order::Panic, Order::TooFew] {
        let (pool, orders) = pool(&config());
        orders.send(order).unwrap();
        let status = until(&pool, |status| status.failures == 1);
        assert_eq!((status.alarm, status.ready), (Some(Alarm::Failing), 0));
        assert!(pool.take().is_none());
        orders.send(Order::Work).unwrap();
        drop(orders);
        assert!(until(&pool, |status| status.ready == 6).alarm.is_none());
    }
}

#[test]
fn filling_keeps_to_its_rate() {
    let (pool, orders) = pool(&PoolConfig { images_per_second_max: 20, batch_max: 1, ..config() });
    drop(orders);
    let begun = Instant::now();
    until(&pool, |status| status.ready == 6);
    // Six images, with five waits of 50 ms between them.
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
}

#[test]
fn the_thread_ends_with_the_pool() {
    let (pool, orders) = pool(&config());
    drop(orders);
    until(&pool, |status| status.ready == 6);
    let shared = Arc::downgrade(&pool.shared);
    drop(pool);
    let end = Instant::now() + Duration::from_secs(20);
    while shared.strong_count() > 0 {
        assert!(Instant::now() < end, "the thread is still there");
        thread::sleep(Duration::from_millis(2));
    }
}
