// Package cdc reads changed rows of databases by plain SELECT, complete to a
// stated moment, and publishes them to Kafka in Debezium's envelope.
package cdc
