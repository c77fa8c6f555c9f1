"""What a run is: its plan, its record, its folder and its tables."""
