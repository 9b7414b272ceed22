//! Lines under load, at the end, on full disks and stuck pipes.

use super::*;

/// A sink whose text a test can read.
#[derive(Clone, Default)]
pub(crate) struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(lock(&self.0).clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A disk that takes so many bytes and is then full, until its gate is opened.
#[derive(Clone, Default)]
struct SmallDisk {
    paper: Paper,
    room: usize,
    roomy: Arc<AtomicBool>,
}

impl Write for SmallDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.roomy.load(Ordering::SeqCst) {
            return self.paper.write(bytes);
        }
        let fits = bytes.len().min(self.room);
        self.room -= fits;
        if fits == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.paper.write(bytes.get(..fits).unwrap())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const PLAN: Plan =
    Plan { name: "test", shards: 4, capacity: 1 << 20, gather: Some(Duration::from_millis(5)) };

fn say(outlet: &Outlet, text: &str) -> bool {
    outlet.line(|out| out.extend_from_slice(text.as_bytes()))
}

#[test]
fn every_line_of_every_thread_arrives_whole_and_in_its_threads_order() {
    let paper = Paper::default();
    let outlet = Outlet::start(PLAN, paper.clone()).unwrap();
    thread::scope(|scope| {
        for name in ["a", "b", "c", "d", "e"] {
            let outlet = &outlet;
            let say = move |number| say(outlet, &format!("{name}{number}\n"));
            scope.spawn(move || assert!((0..1000).all(say)));
        }
    });
    outlet.flush();
    let text = paper.text();
    for name in ["a", "b", "c", "d", "e"] {
        let own: Vec<&str> = text.lines().filter(|line| line.starts_with(name)).collect();
        let expected: Vec<String> = (0..1000).map(|number| format!("{name}{number}")).collect();
        assert_eq!(own, expected);
    }
    assert_eq!(outlet.lost(), 0);
}

#[test]
fn what_is_left_is_written_when_the_outlet_goes() {
    let paper = Paper::default();
    let outlet = Outlet::start(PLAN, paper.clone()).unwrap();
    say(&outlet, "last words\n");
    drop(outlet);
    assert_eq!(paper.text(), "last words\n");
}

#[test]
fn a_full_buffer_loses_lines_and_counts_them_but_never_waits() {
    struct Stuck(std::sync::mpsc::Receiver<()>);
    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Returns only when the test lets go of the other end.
            assert!(self.0.recv().is_err());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (hold, stuck) = std::sync::mpsc::channel();
    let plan = Plan { capacity: 64, shards: 1, ..PLAN };
    let outlet = Outlet::start(plan, Stuck(stuck)).unwrap();
    let taken = (0..1000).filter(|_| say(&outlet, "0123456789\n")).count() as u64;
    // Two buffers' worth at most: the one being written and the one that fills.
    assert!((6..=12).contains(&taken), "{taken} lines were taken");
    assert_eq!(outlet.lost(), 1000 - taken);
    drop(hold);
}

#[test]
fn a_full_disk_is_survived_and_a_broken_line_does_not_swallow_the_next() {
    let disk = SmallDisk { room: 14, ..SmallDisk::default() };
    let outlet = Outlet::start(PLAN, disk.clone()).unwrap();
    say(&outlet, "first\nsecond half\nthird\n");
    outlet.flush();
    assert_eq!(outlet.lost(), 2);
    disk.roomy.store(true, Ordering::SeqCst);
    say(&outlet, "fourth\n");
    outlet.flush();
    assert_eq!(disk.paper.text(), "first\nsecond h\nfourth\n");
}
