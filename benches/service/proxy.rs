//! A TCP proxy that makes the way to the database longer.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::Duration,
};

/// Starts one before this port, which holds everything up for this long in each direction. It lasts as long as the
/// process.
pub(crate) fn delay(port: u16, each_way: Duration) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound port");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
                continue;
            };
            for stream in [&client, &server] {
                stream.set_nodelay(true).expect("an option");
            }
            let copy = |stream: &TcpStream| stream.try_clone().expect("another handle");
            let (back, forth) = ((copy(&server), copy(&client)), (client, server));
            for (from, to) in [forth, back] {
                thread::spawn(move || relay(from, to, each_way));
            }
        }
    });
    address.port()
}

fn relay(mut from: TcpStream, mut to: TcpStream, hold: Duration) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        // The two sides talk by turns, so nothing waits behind what is held up.
        thread::sleep(hold);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Both).ok();
}
