// Package upload brings a CSV file into a table of the warehouse.
package upload
