// Package models keeps tables and views that people declare as SELECTs.
package models

import "time"

// Tick is how often the folder of models is looked at.
const Tick = 10 * time.Second
