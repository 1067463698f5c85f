"""Recalibration: between two trainings, the champion's log odds and thresholds follow the labels that have matured."""
