//! The tests of the whole: one binary, a module for each subject.

mod cli;
