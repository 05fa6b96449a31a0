#![cfg(test)]
//! tests
