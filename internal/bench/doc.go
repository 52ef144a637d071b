// Package bench measures roles on the hardware at hand, always beside a
// reference in the same run. It holds the load generator, the references and
// the arithmetic; `millstream bench` starts the servers. A figure is worth what
// its reference is worth: each says what it leaves out.
package bench
