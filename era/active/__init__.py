"""What helps while people judge: relevance feedback, and which document to judge next."""
