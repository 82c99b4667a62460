//! The ring of recorded ticks.
#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use ladder::time::UnixMillis;
use store::{RECORDED_BYTES_MAX, RECORDED_TICKS_MAX};
use world::{NOW, World};

#[test]
fn the_oldest_ticks_go_when_there_are_too_many() {
    let world = World::new(0);
    let other = world.store.ensure_queue("other").wait().unwrap();
    world.store.record_tick(other, NOW, vec![7]).wait().unwrap();
    let ticks = u64::from(RECORDED_TICKS_MAX) + 5;
    let pending: Vec<_> = (0..ticks).map(|number| world.store.record_tick(world.queue, NOW, number.to_be_bytes().to_vec())).collect();
    pending.into_iter().for_each(|pending| pending.wait().unwrap());
    assert_eq!(world.store.count_recorded_ticks(world.queue).wait().unwrap(), u64::from(RECORDED_TICKS_MAX));
    let kept = world.store.load_recorded_ticks(world.queue, 0, 10_000).wait().unwrap();
    assert!(kept.iter().map(|tick| tick.columns.clone()).eq((5..ticks).map(|number| number.to_be_bytes().to_vec())));
    assert_eq!(world.store.load_recorded_ticks(world.queue, kept[1].number, 1).wait().unwrap(), kept[2..3]);
    assert_eq!(world.store.count_recorded_ticks(other).wait().unwrap(), 1);
}

#[test]
fn the_oldest_ticks_go_when_they_are_too_long() {
    let world = World::new(0);
    let len = usize::try_from(RECORDED_BYTES_MAX / 3 - 1).unwrap();
    for number in 0..5 {
        world.store.record_tick(world.queue, UnixMillis(number), vec![number as u8; len]).wait().unwrap();
    }
    let kept = world.store.load_recorded_ticks(world.queue, 0, 10).wait().unwrap();
    assert_eq!(kept.iter().map(|tick| tick.at.0).collect::<Vec<_>>(), [2, 3, 4]);
}
